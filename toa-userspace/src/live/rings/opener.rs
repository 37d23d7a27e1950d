//! A process that opens perf events after a run has given up the capabilities for it.
//!
//! A CPU that comes online needs a new event, and opening it needs `CAP_PERFMON`, or on some distributions
//! `CAP_SYS_ADMIN`. Neither should be left to a process that parses packets. So another process keeps it, which does
//! nothing but open events on request, and pass their descriptors on.
//!
//! ```text
//! request:  cpu u32, ring size u64
//! answer:   errno i32, and a descriptor if it is 0
//! ```

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg,
        sendmsg, socketpair,
    },
    process::{Pid, WaitOptions, waitpid},
};

use super::{PerfError, event};
use crate::live::host::sandbox;

/// Bytes of a request.
const REQUEST_LEN: usize = 12;

/// The process. It ends when this value is dropped, or when our process ends.
#[derive(Debug)]
pub struct Opener {
    socket: Option<OwnedFd>,
    child: Pid,
}

impl Opener {
    /// Starts the process. Fails if this process has several threads, because only one of them would be in the new
    /// process, maybe without a lock that another held.
    pub fn start() -> io::Result<Self> {
        if threads()? != 1 {
            return Err(io::Error::other("started too late"));
        }
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // SAFETY: there is no other thread, so the new process may do whatever this one may.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                serve(&theirs)
            }
            pid => {
                let child = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Self { socket: Some(ours), child })
            }
        }
    }

    /// Opens the event of a CPU for a ring of `bytes`.
    pub(super) fn open(&self, cpu: u32, bytes: usize) -> Result<OwnedFd, PerfError> {
        self.ask(cpu, bytes).map_err(|error| event::refused(cpu, error))
    }

    fn ask(&self, cpu: u32, bytes: usize) -> io::Result<OwnedFd> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let [cpu, bytes] = [&cpu.to_ne_bytes()[..], &(bytes as u64).to_ne_bytes()];
        let request = [IoSlice::new(cpu), IoSlice::new(bytes)];
        let mut nothing = SendAncillaryBuffer::default();
        retry_on_intr(|| sendmsg(socket, &request, &mut nothing, SendFlags::NOSIGNAL))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut passed = RecvAncillaryBuffer::new(&mut space);
        let mut error = [0; 4];
        let answer = retry_on_intr(|| {
            recvmsg(socket, &mut [IoSliceMut::new(&mut error)], &mut passed, RecvFlags::CMSG_CLOEXEC)
        })?;
        if answer.bytes != error.len() || answer.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let descriptor = passed.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        match i32::from_ne_bytes(error) {
            0 => descriptor.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        drop(self.socket.take());
        // It ends as soon as it reads that the socket is closed.
        let _ = waitpid(Some(self.child), WaitOptions::empty());
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Answers requests until the other side is closed. Allocates nothing.
fn serve(socket: &OwnedFd) -> ! {
    isolate(socket);
    sandbox::enter_opener();
    loop {
        let mut request = [0; REQUEST_LEN];
        let event = match retry_on_intr(|| recv(socket, &mut request, RecvFlags::empty())) {
            Ok((REQUEST_LEN, _)) => {
                let [c0, c1, c2, c3, bytes @ ..] = request;
                let bytes = usize::try_from(u64::from_ne_bytes(bytes)).unwrap_or(usize::MAX);
                event::perf_event_open(u32::from_ne_bytes([c0, c1, c2, c3]), bytes)
            }
            _ => {
                // SAFETY: the call takes an integer and ends this process.
                unsafe { libc::_exit(0) }
            }
        };
        let error = event.as_ref().map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |_| 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut passed = SendAncillaryBuffer::new(&mut space);
        let descriptors = event.as_ref().map(|event| [event.as_fd()]);
        if let Ok(descriptors) = &descriptors {
            // The space is for one descriptor.
            let _ = passed.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let error = error.to_ne_bytes();
        // If it fails, the other side is closed, which the next request shows.
        let _: Result<_, Errno> =
            retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&error)], &mut passed, SendFlags::NOSIGNAL));
    }
}

/// Leaves the process nothing of its parent's but the socket: those who wait for the end of the parent's output do not
/// wait for it. The signals that end the parent are the parent's business.
fn isolate(socket: &OwnedFd) {
    let socket = socket.as_raw_fd().cast_unsigned();
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: the call takes only integers. Nothing here uses these descriptors.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    close(0, socket.saturating_sub(1));
    close(socket.saturating_add(1), u32::MAX);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: the call takes only integers.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
