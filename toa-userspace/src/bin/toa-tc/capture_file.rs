//! A pcapng file that takes the packets of followed connections (`attach -w`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use thiserror::Error;
use toa_userspace::{
    capture::writer::Writer,
    print::{interfaces::InterfaceName, ledger::Summary},
};

/// Rights of a new file: it has the secrets of clients.
const MODE: u32 = 0o600;

/// Stands for stdout.
const STDOUT: &str = "-";

/// Bytes after which packets are written even if more are to come in the same round.
const MOST_BYTES: usize = 4 << 20;

/// The file.
pub(crate) struct CaptureFile {
    writer: Writer,
    /// `None` for stdout.
    file: Option<(PathBuf, File)>,
    error: Option<io::Error>,
}

/// Why packets could not be written.
#[derive(Debug, Error)]
#[error("cannot write to {}", path.display())]
pub(crate) struct NotWritten {
    path: PathBuf,
    source: io::Error,
}

impl CaptureFile {
    /// Creates or replaces a file, or takes stdout for `-`. `interface_name` finds the names of interfaces.
    pub(crate) fn create(path: &Path, interface_name: InterfaceName) -> Result<Self> {
        let file = if path.as_os_str() == STDOUT {
            None
        } else {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(MODE).open(path);
            Some((path.to_owned(), file.with_context(|| format!("cannot create {}", path.display()))?))
        };
        Ok(Self { writer: Writer::new(interface_name)?, file, error: None })
    }

    /// Returns whether it is stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.file.is_none()
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
        self.error.take().map_or(Ok(()), Err)
    }

    fn write(&mut self) {
        let Some((path, file)) = &mut self.file else { return };
        let blocks = self.writer.take();
        if self.error.is_none()
            && let Err(source) = file.write_all(&blocks)
        {
            self.error = Some(io::Error::new(source.kind(), NotWritten { path: path.clone(), source }));
        }
    }
}
