//! A file that takes the results in place of stdout, and that SIGHUP opens again, as `logrotate` needs it.

use std::{
    convert::Infallible,
    fs::OpenOptions,
    future::pending,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::{stderr, stdout};

/// The file.
#[derive(Debug)]
pub(crate) struct OutputFile(PathBuf);

impl OutputFile {
    /// Opens the file, to append to it, as stdout.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = Self(path.to_owned());
        file.redirect().with_context(|| format!("cannot open {}", path.display()))?;
        Ok(file)
    }

    /// Returns the directory that the file is in.
    pub(crate) fn directory(&self) -> PathBuf {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    fn redirect(&self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).open(&self.0)?;
        // SAFETY: the call takes only integers. Stdout belongs to nobody who could be surprised: it is written to by its
        // number only.
        if unsafe { libc::dup2(file.as_raw_fd(), libc::STDOUT_FILENO) } == -1 {
            return Err(io::Error::last_os_error());
        }
        stdout::opened();
        Ok(())
    }

    /// Opens the file again on each SIGHUP. Writes are whole lines, so none is divided. A file that cannot be opened is
    /// reported, and the old one stays in use.
    async fn follow_hangups(&self) -> Infallible {
        let Ok(mut hangups) = signal(SignalKind::hangup()) else {
            return pending().await;
        };
        while hangups.recv().await.is_some() {
            if let Err(error) = self.redirect() {
                stderr::line(format_args!("cannot open {} again: {error}", self.0.display()));
            }
        }
        pending().await
    }
}

/// Opens the file, if there is one, again on each SIGHUP.
pub(crate) async fn follow_hangups(file: Option<&OutputFile>) -> Infallible {
    match file {
        Some(file) => file.follow_hangups().await,
        None => pending().await,
    }
}
