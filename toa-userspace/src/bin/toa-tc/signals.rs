//! The signals that end a run, and the wait for its tasks at the end.

use std::{future::pending, time::Duration};

use anyhow::{Context as _, Result};
use toa_userspace::live::host::signal::is_ignored;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::sleep,
};

use crate::stdout::Reader;

/// How often to look at the end whether stdout takes something.
const INTERVAL: Duration = Duration::from_millis(50);

/// How often in a row it must have taken nothing until its reader is given up: for two seconds. Looks are counted, and
/// not the time, because a process that was stopped meanwhile could not write.
const LOOKS: u32 = 40;

/// The same if a further signal has come: half a second. Shorter times are usual even if the reader reads, and `timeout`
/// sends its signal twice within milliseconds.
const LOOKS_AFTER_SIGNAL: u32 = 10;

/// The signals that end a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Starts to listen. A SIGHUP that this process was started to ignore stays ignored, for `nohup`. SIGINT does not:
    /// shells ignore it for every background command of a script, which is then ended by sending it.
    ///
    /// A SIGHUP that has another meaning for this run, `hangup_ends` says, does not end it.
    pub(crate) fn new(hangup_ends: bool) -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        let hangup = SignalKind::hangup();
        let is_wanted =
            hangup_ends && !is_ignored(hangup.as_raw_value()).context("cannot read what a signal does")?;
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: is_wanted.then(|| on(hangup)).transpose()?,
        })
    }

    /// Waits for the next signal. Returns whether it is SIGINT, for which terminals show `^C`.
    pub(crate) async fn recv(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
            () = next(&mut self.hangup) => false,
        }
    }

    /// Waits for a task that writes to stdout. As long as it writes or works, it is waited for. If stdout takes nothing
    /// for too long, its reader is given up. `None` if the task does not end even then, because a write blocks.
    pub(crate) async fn join<T>(
        &mut self,
        mut task: JoinHandle<T>,
        reader: &mut Reader,
    ) -> Result<Option<T>> {
        let (mut write, mut looks) = (None, 0);
        loop {
            let most = tokio::select! {
                result = &mut task => return result.context("a task failed").map(Some),
                () = sleep(INTERVAL) => {
                    looks += 1;
                    LOOKS
                }
                _ = self.recv() => LOOKS_AFTER_SIGNAL,
            };
            let pending_write = reader.pending_write();
            if pending_write.is_none() || pending_write != write {
                (write, looks) = (pending_write, 0);
            }
            if looks < most {
                continue;
            }
            if !reader.give_up() {
                return Ok(None);
            }
            looks = 0;
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use tokio::time::Instant;

    use super::*;
    use crate::stdout::tests::reader;

    /// Waits for a task that ends after `duration` and passes each tick of 10 ms to `step`. Returns whether the task was
    /// waited for, whether its reader was given up, and how long it took. Time is simulated.
    async fn join(
        duration: Duration,
        mut step: impl FnMut(&AtomicU64) + Send + 'static,
        signal: bool,
    ) -> (bool, bool, Duration) {
        let (mut reader, progress) = reader();
        let begin = Instant::now();
        let steps = Arc::clone(&progress);
        let task = tokio::spawn(async move {
            while begin.elapsed() < duration {
                step(&steps);
                sleep(Duration::from_millis(10)).await;
            }
        });
        let mut signals = Signals::new(true).unwrap();
        // Another test may raise it, and all tests share a process.
        signals.hangup = None;
        if signal {
            // The handler replaces the action that would end this process, and stays.
            signals.hangup = Some(super::signal(SignalKind::hangup()).unwrap());
            tokio::spawn(async {
                sleep(Duration::from_millis(700)).await;
                // SAFETY: the call takes only an integer. This thread gets the signal before it returns.
                assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
            });
        }
        let joined = signals.join(task, &mut reader).await.unwrap();
        (joined.is_some(), !reader.give_up(), begin.elapsed())
    }

    const LONG: Duration = Duration::from_secs(5 * 60);

    #[tokio::test(start_paused = true)]
    async fn work_is_waited_for() {
        let (is_joined, gave_up, took) = join(LONG, |_| (), false).await;
        assert!(is_joined && !gave_up && took >= LONG, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_end_are_waited_for() {
        // Each write lasts for longer than a signal's patience, and another one follows at once.
        let mut ticks = 0;
        let step = move |progress: &AtomicU64| {
            ticks += 1;
            match (ticks, ticks % 150) {
                (1, _) => _ = progress.fetch_add(1, Ordering::Relaxed),
                (_, 0) => _ = progress.fetch_add(2, Ordering::Relaxed),
                _ => {}
            }
        };
        let (is_joined, gave_up, took) = join(LONG, step, false).await;
        assert!(is_joined && !gave_up && took >= LONG, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_blocks_is_given_up_and_then_left_alone() {
        let step = |progress: &AtomicU64| progress.store(7, Ordering::Relaxed);
        let (is_joined, gave_up, took) = join(LONG, step, false).await;
        assert!(!is_joined && gave_up, "{took:?}");
        assert!((4..5).contains(&took.as_secs()), "twice two seconds: {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_signal_gives_up_a_write_that_blocks_at_once() {
        let step = |progress: &AtomicU64| progress.store(7, Ordering::Relaxed);
        let (is_joined, gave_up, took) = join(LONG, step, true).await;
        assert!(!is_joined && gave_up && took < Duration::from_secs(3), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_signal_gives_up_nothing_that_goes_on() {
        let step = |progress: &AtomicU64| _ = progress.fetch_add(2, Ordering::Relaxed);
        for is_writing in [true, false] {
            let mut begun = !is_writing;
            let step = move |progress: &AtomicU64| {
                if !std::mem::replace(&mut begun, true) {
                    progress.fetch_add(1, Ordering::Relaxed);
                }
                step(progress);
            };
            let (is_joined, gave_up, took) = join(LONG, step, true).await;
            assert!(is_joined && !gave_up && took >= LONG, "{took:?}");
        }
    }
}
