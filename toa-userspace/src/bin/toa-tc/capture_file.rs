//! A pcapng file that takes the packets of followed connections (`attach -w`).

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use thiserror::Error;
use toa_userspace::{
    capture::writer::Writer,
    print::{interfaces::InterfaceName, ledger::Summary},
};
use tokio::sync::mpsc;

/// Bytes after which packets are written even if more are to come in the same round.
const MOST_BYTES: usize = 4 << 20;

/// The file.
pub(crate) struct CaptureFile {
    writer: Writer,
    /// `None` for stdout.
    destination: Option<Destination>,
    error: Option<io::Error>,
}

/// Where blocks are written to.
pub(crate) struct Destination {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Files that take the place of the one before.
    pub(crate) files: mpsc::Receiver<File>,
}

/// Why packets could not be written.
#[derive(Debug, Error)]
#[error("cannot write to {}", path.display())]
pub(crate) struct NotWritten {
    path: PathBuf,
    source: io::Error,
}

impl CaptureFile {
    /// Begins a capture in a file, or on stdout without one. `interface_name` finds the names of interfaces.
    pub(crate) fn new(destination: Option<Destination>, interface_name: InterfaceName) -> Result<Self> {
        Ok(Self { writer: Writer::new(interface_name)?, destination, error: None })
    }

    /// Returns whether it is stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.destination.is_none()
    }

    /// Adds the packet of a sample.
    pub(crate) fn packet(&mut self, sample: &[u8], clock_offset_ns: u64) {
        if self.error.is_none() {
            self.error = self.writer.packet(sample, clock_offset_ns).map_err(io::Error::other).err();
        }
        if self.writer.pending_bytes() >= MOST_BYTES {
            self.write();
        }
    }

    /// Adds what was lost, as of `time_ns` nanoseconds since the Unix epoch.
    pub(crate) fn finish(&mut self, summary: &Summary<'_>, time_ns: u64) {
        let packets = summary.packets();
        let added = self.writer.statistics(packets.matched, packets.lost.total(), time_ns);
        self.error = self.error.take().or(added.map_err(io::Error::other).err());
    }

    /// Writes what was added, to stdout by `put`. Returns the first error since the last call.
    pub(crate) fn flush(&mut self, put: impl FnOnce(&[u8])) -> io::Result<()> {
        if self.is_stdout() {
            put(&self.writer.take());
        }
        self.write();
        self.change_files();
        self.error.take().map_or(Ok(()), Err)
    }

    fn write(&mut self) {
        let Some(Destination { path, file, .. }) = &mut self.destination else { return };
        let blocks = self.writer.take();
        if self.error.is_none()
            && let Err(source) = file.write_all(&blocks)
        {
            self.error = Some(io::Error::new(source.kind(), NotWritten { path: path.clone(), source }));
        }
    }

    /// Goes on in another file if there is one. That begins with a section of its own.
    fn change_files(&mut self) {
        let Some(Destination { file, files, .. }) = &mut self.destination else { return };
        if let Ok(next) = files.try_recv() {
            *file = next;
            self.error = self.error.take().or(self.writer.restart().map_err(io::Error::other).err());
        }
    }
}
