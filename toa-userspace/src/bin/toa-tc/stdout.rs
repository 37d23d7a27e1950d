//! Writes results to stdout so that a run can end even if nobody reads them.
//!
//! A write to a full pipe blocks, and nothing can interrupt it. So [`Stdout`] first waits until stdout is writable, and
//! that wait can be ended by [`Reader::give_up`]. The write itself does not block then, except on a terminal whose buffer
//! is nearly full, or if another process fills the pipe in between.

use std::{
    error::Error,
    fmt,
    future::pending,
    io::{self, IsTerminal as _, Write},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use memchr::memrchr;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno, retry_on_intr, write},
    pipe::{PipeFlags, pipe_with},
};
use toa_userspace::live::host::sandbox;
use tokio::sync::oneshot;

/// Bytes that a writable pipe takes without blocking (`PIPE_BUF` of `pipe(7)`).
const PIPE_BUF: usize = 4096;

/// Whether stdout was closed when this process started.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs [`note_closed`] before the standard library opens `/dev/null` in place of a closed stdout, which is before `main`.
#[used]
// SAFETY: the C library calls the functions in this section without arguments that matter to them, before `main`.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    // SAFETY: the call takes only integers.
    let is_closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Notes that stdout is open now.
pub(crate) fn opened() {
    WAS_CLOSED.store(false, Ordering::Relaxed);
}

/// Fails if stdout was closed when this process started.
pub(crate) fn check() -> Result<()> {
    if WAS_CLOSED.load(Ordering::Relaxed) {
        bail!("stdout is closed: nothing can be printed");
    }
    Ok(())
}

/// Returns whether nothing can show what is written to stdout: it is a file or `/dev/null`.
pub(crate) fn is_stored() -> bool {
    let stdout = io::stdout();
    fstat(&stdout).is_ok_and(|status| match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => true,
        FileType::CharacterDevice => !stdout.is_terminal(),
        _ => false,
    })
}

/// Returns whether stdout takes something now.
pub(crate) fn is_writable() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut descriptors, Some(&now))).is_ok_and(|ready| ready > 0)
}

/// Why a task that writes results did not end.
pub(crate) const GAVE_UP: &str =
    "stdout is blocked: gave up, so some results were neither printed nor counted";

/// Nothing reads what is written.
#[derive(Debug)]
pub(crate) struct Blocked;

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stdout is blocked: gave up, so some results were not printed")
    }
}

impl Error for Blocked {}

/// The writer.
#[derive(Debug)]
pub(crate) struct Stdout {
    /// Twice the number of writes that have ended, and 1 more during a write.
    progress: Arc<AtomicU64>,
    /// Readable once the reader was given up.
    given_up: OwnedFd,
    is_file: bool,
}

/// What the rest of the program knows about the reader of stdout.
#[derive(Debug)]
pub(crate) struct Reader {
    progress: Arc<AtomicU64>,
    give_up: Option<OwnedFd>,
}

/// Prepares stdout for results.
pub(crate) fn open() -> Result<(Stdout, Reader)> {
    check()?;
    let (given_up, giver) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let progress = Arc::new(AtomicU64::new(0));
    let is_file = fstat(io::stdout())
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile);
    let stdout = Stdout { progress: Arc::clone(&progress), given_up, is_file };
    Ok((stdout, Reader { progress, give_up: Some(giver) }))
}

impl Stdout {
    /// Returns another writer, which is given up with this one. They are used by turns.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let Self { progress, given_up, is_file } = self;
        Ok(Self { progress: Arc::clone(progress), given_up: given_up.try_clone()?, is_file: *is_file })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = if self.is_file { bytes } else { piece(bytes) };
        self.progress.fetch_add(1, Ordering::Relaxed);
        let written = self.write_piece(piece);
        self.progress.fetch_add(1, Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stdout {
    /// Writes when stdout is writable, or fails if the reader is given up before.
    fn write_piece(&self, piece: &[u8]) -> io::Result<usize> {
        let stdout = io::stdout();
        let mut descriptors =
            [PollFd::new(&stdout, PollFlags::OUT), PollFd::new(&self.given_up, PollFlags::IN)];
        loop {
            retry_on_intr(|| poll(&mut descriptors, None))?;
            let [is_writable, _] = &descriptors;
            if is_writable.revents().is_empty() {
                return Err(io::Error::other(Blocked));
            }
            match retry_on_intr(|| write(&stdout, piece)) {
                // The process that opened stdout made it non-blocking.
                Err(Errno::AGAIN) => {}
                written => return Ok(written?),
            }
        }
    }
}

/// Returns as much of `bytes` as a pipe takes at once, preferably whole lines, between which stderr may write to the same
/// pipe.
fn piece(bytes: &[u8]) -> &[u8] {
    let Some(most) = bytes.get(..PIPE_BUF) else {
        return bytes;
    };
    let end = memrchr(b'\n', most).map_or(PIPE_BUF, |at| at + 1);
    bytes.get(..end).unwrap_or(bytes)
}

impl Reader {
    /// Returns a number that identifies the write that has not ended, if there is one.
    pub(crate) fn pending_write(&self) -> Option<u64> {
        let progress = self.progress.load(Ordering::Relaxed);
        (!progress.is_multiple_of(2)).then_some(progress)
    }

    /// Lets writes fail that would have to wait. Those that do not have to wait still succeed. Returns false if it was
    /// called before.
    pub(crate) fn give_up(&mut self) -> bool {
        self.give_up.take().is_some()
    }
}

/// Waits until nothing can read stdout any more: the other end of the pipe is closed, or the terminal is gone.
pub(crate) async fn reader_gone() {
    let (gone, is_gone) = oneshot::channel();
    let watch = move || {
        sandbox::enter_thread();
        let stdout = io::stdout();
        // Errors are reported even if no event is asked for.
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        if retry_on_intr(|| poll(&mut descriptors, None)).is_ok() {
            // The receiver is dropped only at the end of the run.
            let _ = gone.send(());
        }
    };
    let watching = thread::Builder::new().name("stdout".to_owned()).spawn(watch);
    if watching.is_err() || is_gone.await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a reader, and the counter that says whether a write is pending.
    pub(crate) fn reader() -> (Reader, Arc<AtomicU64>) {
        let progress = Arc::new(AtomicU64::new(0));
        let (_, giver) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (Reader { progress: Arc::clone(&progress), give_up: Some(giver) }, progress)
    }

    #[test]
    fn pieces_end_with_a_line_if_one_ends_in_them() {
        let long = [b'x'; 2 * PIPE_BUF];
        assert_eq!(piece(b"a\nb"), b"a\nb");
        assert_eq!(piece(&long).len(), PIPE_BUF);
        let mut lines = long;
        (lines[9], lines[99], lines[PIPE_BUF]) = (b'\n', b'\n', b'\n');
        assert_eq!(piece(&lines).len(), 100);
    }
}
