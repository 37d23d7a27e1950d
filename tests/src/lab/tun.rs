//! A pair of devices without a link header, joined by a thread of this process.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    mem,
    os::fd::AsRawFd as _,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
};

use crate::lab::{netns::Namespace, veth::Device};

/// Longest packet in bytes: no device has a larger MTU.
const MAX_PACKET: usize = 65_536;

/// Two tun devices. Each receives what the other sends, until this is dropped.
#[derive(Debug)]
pub struct Cable {
    stop: Option<io::PipeWriter>,
    relay: Option<JoinHandle<()>>,
}

impl Cable {
    /// Creates the devices in two namespaces with the given names and sets both up. The far one gets this link type, an
    /// `ARPHRD_` number.
    pub fn new(
        near: (&Namespace, &str),
        far: (&Namespace, &str),
        link_type: u16,
    ) -> Result<(Self, Device, Device)> {
        let files = [open(near)?, open_of_type(far, link_type)?];
        // A device that is down accepts no packets.
        let up = |(namespace, name): (&Namespace, &str)| -> Result<Device> {
            namespace.ip(&["link", "set", name, "up"])?;
            Ok(Device { namespace: namespace.clone(), name: name.to_owned() })
        };
        let (near, far) = (up(near)?, up(far)?);
        let (stopped, stop) = io::pipe()?;
        let relay = thread::spawn(move || {
            if let Err(error) = relay(files, &stopped) {
                eprintln!("the relay between tun devices: {error:#}");
            }
        });
        Ok((Self { stop: Some(stop), relay: Some(relay) }, near, far))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.relay.take().map(JoinHandle::join);
    }
}

/// Creates a device that lives as long as the file.
fn open((namespace, name): (&Namespace, &str)) -> Result<File> {
    namespace.run(|| {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits())?;
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nonblocking);
        let file = options.read(true).write(true).open("/dev/net/tun").context("/dev/net/tun")?;
        // SAFETY: all zeros is a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        ensure!(name.len() < request.ifr_name.len(), "{name} is too long");
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
        // SAFETY: the pointer refers to an `ifreq` whose name ends in NUL.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
        ensure!(result == 0, "TUNSETIFF {name}: {}", io::Error::last_os_error());
        Ok(file)
    })
}

/// Creates a device of this link type, an `ARPHRD_` number, that lives as long as the file. It is down.
pub fn open_of_type(end: (&Namespace, &str), link_type: u16) -> Result<File> {
    let file = open(end)?;
    // SAFETY: the argument of this ioctl is an integer.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETLINK, libc::c_ulong::from(link_type)) };
    ensure!(result == 0, "TUNSETLINK {link_type}: {}", io::Error::last_os_error());
    Ok(file)
}

/// Relays packets in both directions until the pipe is closed.
fn relay([near, far]: [File; 2], stopped: &io::PipeReader) -> Result<()> {
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let mut ready = [
            PollFd::new(&near, PollFlags::IN),
            PollFd::new(&far, PollFlags::IN),
            PollFd::new(stopped, PollFlags::HUP),
        ];
        poll(&mut ready, None)?;
        let [from_near, from_far, stop] = ready.map(|it| !it.revents().is_empty());
        if stop {
            return Ok(());
        }
        for (is_ready, mut from, mut to) in [(from_near, &near, &far), (from_far, &far, &near)] {
            if is_ready {
                let length = from.read(&mut packet).context("reading a packet")?;
                to.write_all(packet.get(..length).unwrap_or_default()).context("writing a packet")?;
            }
        }
    }
}
