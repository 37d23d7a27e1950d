//! Responsible for taking the numbers of closed descriptors at once for something else. Not responsible for closing.

use std::{
    collections::VecDeque,
    fs::File,
    net::UdpSocket,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use anyhow::{Result, ensure};
use rustix::{
    io::fcntl_dupfd_cloexec,
    pipe::{PipeFlags, pipe_with},
};

/// How many numbers are kept at a time.
const KEPT: usize = 8;

/// Descriptors that stand where connections stood.
pub(crate) struct Decoys {
    /// A file, a pipe's ends and a socket.
    sources: [OwnedFd; 4],
    next: usize,
    kept: VecDeque<OwnedFd>,
}

impl Decoys {
    pub(crate) fn new() -> Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let (file, socket) = (File::open("/dev/null")?.into(), UdpSocket::bind("127.0.0.1:0")?.into());
        Ok(Self { sources: [file, reader, writer, socket], next: 0, kept: VecDeque::new() })
    }

    /// Takes a number that was closed just now. Each fifth is left to the next connection that is accepted.
    pub(crate) fn take(&mut self, number: RawFd) -> Result<bool> {
        let source = self.sources.get(self.next);
        self.next = (self.next + 1) % (self.sources.len() + 1);
        let Some(source) = source else {
            return Ok(false);
        };
        let decoy = fcntl_dupfd_cloexec(source, number)?;
        ensure!(decoy.as_raw_fd() == number, "number {number} was not free");
        self.kept.push_back(decoy);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        Ok(true)
    }

    /// Gives all numbers back.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
