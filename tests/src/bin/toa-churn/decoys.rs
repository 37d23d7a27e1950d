//! Reuses the numbers of closed descriptors immediately for something else.

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

/// How many numbers are held at a time.
const KEPT: usize = 8;

/// Descriptors at the numbers of closed connections.
pub(crate) struct Decoys {
    /// A file, both ends of a pipe, and a socket.
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

    /// Takes a number that was just closed. Every fifth is left to the next accepted connection.
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

    /// Releases all numbers.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
