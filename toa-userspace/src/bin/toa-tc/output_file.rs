//! Files that take results or packets. SIGHUP opens them again, as `logrotate` needs it, and they can rotate themselves.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    future::pending,
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::geteuid;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::interval,
};

use crate::{cli::rotation::RotationArgs, stderr, stdout};

/// The time between two looks at the size and age of files.
const INTERVAL: Duration = Duration::from_millis(100);

/// Time between two attempts to rotate a file if that fails.
const RETRY: Duration = Duration::from_secs(10);

/// Rights of a capture.
const CAPTURE_MODE: u32 = 0o600;

/// Rights of a new file of results, without those that the umask takes away.
const RESULTS_MODE: u32 = 0o666;

/// What writes to a file.
#[derive(Debug)]
enum Taker {
    /// Everything that writes to stdout.
    Stdout,
    /// The capture, which gets files that were opened again.
    Capture(mpsc::Sender<File>),
}

/// A file.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    taker: Taker,
    rotation: RotationArgs,
    /// The file in use, to see its size.
    file: File,
    opened: Instant,
    /// When it could not be rotated, if that was so the last time.
    failed: Option<Instant>,
}

impl OutputFile {
    /// Opens a file, to append to it, as stdout.
    pub(crate) fn as_stdout(path: &Path, rotation: RotationArgs) -> Result<Self> {
        let file = append(path, RESULTS_MODE).and_then(|file| redirect(&file).map(|()| file));
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self::new(path, Taker::Stdout, rotation, file))
    }

    /// Opens the file of a capture, which [`Self::begin`] empties. Also returns what the capture is written to: the file, and
    /// later those that take its place. If files rotate, one that has anything in it is an old one.
    pub(crate) fn of_capture(
        path: &Path,
        rotation: RotationArgs,
    ) -> Result<(Self, (File, mpsc::Receiver<File>))> {
        let has_content = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
        if rotation.is_some() && has_content {
            rename(path, rotation.keep).with_context(|| format!("cannot rename {}", path.display()))?;
        }
        let file = append_capture(path).and_then(|file| Ok((file.try_clone()?, file)));
        let (file, first) = file.with_context(|| format!("cannot create {}", path.display()))?;
        let (taker, files) = mpsc::channel(1);
        let file = Self::new(path, Taker::Capture(taker), rotation, file);
        Ok((file, (first, files)))
    }

    fn new(path: &Path, taker: Taker, rotation: RotationArgs, file: File) -> Self {
        Self { path: path.to_owned(), taker, rotation, file, opened: Instant::now(), failed: None }
    }

    /// Empties the file of a capture, once nothing can fail any more before it is written.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let is_capture = matches!(self.taker, Taker::Capture(_)) && self.file.metadata()?.is_file();
        if is_capture { self.file.set_len(0) } else { Ok(()) }
    }

    /// Returns whether everything that writes to stdout writes to it.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.taker, Taker::Stdout)
    }

    /// Returns the directory that the file is in.
    pub(crate) fn directory(&self) -> PathBuf {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Opens the file again. One that cannot be opened is reported, and the old one stays in use.
    fn reopen(&mut self) {
        if let Err(error) = self.try_reopen() {
            stderr::error(format_args!("cannot open {} again: {error}", self.path.display()));
        }
    }

    fn try_reopen(&mut self) -> io::Result<()> {
        match &self.taker {
            Taker::Stdout => {
                let file = append(&self.path, RESULTS_MODE)?;
                // Writes are whole lines, so none is divided.
                redirect(&file)?;
                self.file = file;
            }
            Taker::Capture(files) => {
                let file = append_capture(&self.path)?;
                let seen = file.try_clone()?;
                // If the capture has not taken the one before, that is new enough.
                if files.try_send(file).is_ok() {
                    self.file = seen;
                }
            }
        }
        self.opened = Instant::now();
        Ok(())
    }

    /// Begins another file if this one is large or old enough.
    fn rotate_if_due(&mut self) {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len());
        let is_large = self.rotation.rotate_size.is_some_and(|size| len >= size);
        let is_old = self.rotation.time().is_some_and(|time| self.opened.elapsed() >= time) && len > 0;
        let has_failed = self.failed.is_some_and(|failed| failed.elapsed() < RETRY);
        if (!is_large && !is_old) || has_failed {
            return;
        }
        // Somebody has moved or removed the file: there is nothing to rename.
        let renamed = if self.is_in_place() { rename(&self.path, self.rotation.keep) } else { Ok(()) };
        self.failed = match renamed.and_then(|()| self.try_reopen()) {
            Ok(()) => None,
            Err(error) => {
                stderr::error(format_args!("cannot rotate {}: {error}", self.path.display()));
                Some(Instant::now())
            }
        };
    }

    /// Returns whether both are one regular file.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let is_file = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        is_file && is_one(self.file.metadata(), other.file.metadata())
    }

    /// Returns whether the file in use still has its name.
    fn is_in_place(&self) -> bool {
        is_one(fs::metadata(&self.path), self.file.metadata())
    }
}

/// The files of a run.
pub(crate) struct OutputFiles {
    files: Vec<OutputFile>,
    /// Each SIGHUP, if there are files.
    hangups: Option<Signal>,
}

impl OutputFiles {
    /// Begins to listen for SIGHUP if there are files. From then on it does not end this process.
    pub(crate) fn new(files: Vec<OutputFile>) -> Result<Self> {
        let hangups = || signal(SignalKind::hangup()).context("cannot listen for signals");
        let hangups = (!files.is_empty()).then(hangups).transpose()?;
        Ok(Self { files, hangups })
    }

    /// Returns each file.
    pub(crate) fn all(&self) -> &[OutputFile] {
        &self.files
    }

    /// Opens the files again on each SIGHUP, and rotates those that are to be rotated.
    pub(crate) async fn follow(&mut self) -> Infallible {
        let Self { files, hangups: Some(hangups) } = self else {
            return pending().await;
        };
        let mut looks = interval(INTERVAL);
        let rotates = files.iter().any(|file| file.rotation.is_some());
        loop {
            tokio::select! {
                hangup = hangups.recv() => match hangup {
                    Some(()) => files.iter_mut().for_each(OutputFile::reopen),
                    None => return pending().await,
                },
                _ = looks.tick(), if rotates => files.iter_mut().for_each(OutputFile::rotate_if_due),
            }
        }
    }
}

/// Returns whether both are of one file.
fn is_one(one: io::Result<Metadata>, other: io::Result<Metadata>) -> bool {
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    matches!((one.map(id), other.map(id)), (Ok(one), Ok(other)) if one == other)
}

/// Opens the file of a capture, which only its owner may read: it has the secrets of clients.
fn append_capture(path: &Path) -> io::Result<File> {
    let file = append(path, CAPTURE_MODE)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        if metadata.uid() != geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        file.set_permissions(Permissions::from_mode(CAPTURE_MODE))?;
    }
    Ok(file)
}

/// Opens a file to append to it.
fn append(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

/// Makes a file stdout.
fn redirect(file: &File) -> io::Result<()> {
    // SAFETY: the call takes only integers, and stdout is written to by its number only.
    if unsafe { libc::dup2(file.as_raw_fd(), libc::STDOUT_FILENO) } == -1 {
        return Err(io::Error::last_os_error());
    }
    stdout::opened();
    Ok(())
}

/// Appends `.1` to the name of a file, and counts up the numbers of at most `keep` old ones.
fn rename(path: &Path, keep: u64) -> io::Result<()> {
    let numbered = |number: u64| {
        let mut name = OsString::from(path);
        name.push(format!(".{number}"));
        name
    };
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number.saturating_add(1))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hangup_before_the_first_look_opens_files_again() {
        let directory = std::env::temp_dir().join(format!("toa-tc-hangup-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("out.pcapng");
        let (file, (_first, mut again)) = OutputFile::of_capture(&path, RotationArgs::default()).unwrap();
        let mut files = OutputFiles::new(vec![file]).unwrap();
        fs::rename(&path, directory.join("old")).unwrap();
        // SAFETY: the signal has a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
        let opened = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                never = files.follow() => match never {},
                file = again.recv() => file.is_some(),
            }
        });
        assert_eq!(opened.await, Ok(true));
        assert!(path.exists());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn old_files_are_counted_up_and_the_oldest_is_replaced() {
        let directory = std::env::temp_dir().join(format!("toa-tc-rotation-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("out.json");
        for content in ["a", "b", "c", "d"] {
            fs::write(&path, content).unwrap();
            rename(&path, 2).unwrap();
        }
        let mut found: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
            .collect();
        found.sort();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found, [("out.json.1".into(), "d".to_owned()), ("out.json.2".into(), "c".to_owned())]);
    }
}
