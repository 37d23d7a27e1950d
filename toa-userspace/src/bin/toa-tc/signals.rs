//! The signals that end a run, and the wait for its tasks at the end.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};

/// How long to wait at the end for a task that is blocked in writing.
const GRACE: Duration = Duration::from_secs(2);

/// The signals that end a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen.
    pub(crate) fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Waits for a task that may be blocked in writing. `None` if it does not end within the grace period, or a signal
    /// comes first.
    pub(crate) async fn join_within_grace<T>(&mut self, task: JoinHandle<T>) -> Result<Option<T>> {
        tokio::select! {
            result = timeout(GRACE, task) => match result {
                Ok(result) => Ok(Some(result.context("a task failed")?)),
                Err(_) => Ok(None),
            },
            () = self.recv() => Ok(None),
        }
    }
}
