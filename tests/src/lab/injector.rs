//! Sends raw frames from a device through a packet socket.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Result, ensure};

use crate::lab::veth::Device;

/// A socket that sends whole frames from one device.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
    index: i32,
}

impl Injector {
    /// Opens the socket.
    pub fn new(device: &Device) -> Result<Self> {
        device.namespace.run(|| {
            // Protocol 0: the socket receives nothing.
            // SAFETY: the call takes only integers.
            let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
            ensure!(socket >= 0, "packet socket: {}", io::Error::last_os_error());
            // SAFETY: the descriptor is new, and nothing else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(socket) };
            Ok(Self { socket, index: i32::try_from(device.index()?)? })
        })
    }

    /// Sends a frame, which the peer device receives.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET)?;
        address.sll_ifindex = self.index;
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>())?;
        // SAFETY: both pointers refer to values of the given sizes.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                length,
            )
        };
        ensure!(usize::try_from(sent) == Ok(frame.len()), "injecting: {}", io::Error::last_os_error());
        Ok(())
    }
}
