//! Responsible for the signals that end a run, and for ending it in time. Not responsible for what then is to be done.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};

/// How long a reader that is blocked in writing is waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

/// The signals that end a run.
pub(crate) struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interrupts {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    pub(crate) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Waits for a task that may be blocked in writing. `None` if it is, and does not come back.
    pub(crate) async fn finish<T>(&mut self, task: JoinHandle<T>) -> Result<Option<T>> {
        tokio::select! {
            result = timeout(GRACE, task) => match result {
                Ok(result) => Ok(Some(result.context("a task failed")?)),
                Err(_) => Ok(None),
            },
            () = self.any() => Ok(None),
        }
    }
}
