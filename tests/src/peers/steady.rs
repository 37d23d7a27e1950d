//! Requests one after the other, as long as a test goes on: each must be answered.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};

use crate::{lab::Lab, peers::client::Request, wait};

/// Requests on a connection before the next is opened. With fewer, a fast server would exhaust the ports within a minute.
const PER_CONNECTION: u32 = 100;

/// How long thousands of answers may take.
const ANSWERS: Duration = Duration::from_secs(2 * 60);

/// The real client.
pub const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// How far the requests are.
#[derive(Debug, Default)]
pub struct Progress {
    answered: AtomicU64,
    is_over: AtomicBool,
}

impl Progress {
    /// Returns how many requests were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests were answered.
    pub fn wait_for(&self, more: u64) -> Result<()> {
        let target = self.answered() + more;
        wait::within(ANSWERS, "answers", || {
            anyhow::ensure!(!self.is_over.load(Ordering::Relaxed), "the requests have ended");
            Ok((self.answered() >= target).then_some(()))
        })
    }
}

/// Runs `work` while a client sends requests to nginx. Returns how many were answered: all that were sent.
pub fn during(lab: &mut Lab, work: impl FnOnce(&Progress) -> Result<()>) -> Result<u64> {
    let (progress, is_wanted) = (Progress::default(), AtomicBool::new(true));
    let (asked, done) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let asked = ask(lab, &progress.answered, &is_wanted);
            progress.is_over.store(true, Ordering::Relaxed);
            asked
        });
        let done = work(&progress);
        is_wanted.store(false, Ordering::Relaxed);
        (asking.join(), done)
    });
    // A request that failed is the cause of what failed later.
    asked.map_err(|_| anyhow!("who asks panicked"))??;
    done?;
    Ok(progress.answered.into_inner())
}

fn ask(lab: &mut Lab, answered: &AtomicU64, is_wanted: &AtomicBool) -> Result<()> {
    while is_wanted.load(Ordering::Relaxed) {
        let mut connection = lab.connect(Some(SocketAddr::from(CLIENT)))?;
        for _ in 0..PER_CONNECTION {
            connection.ask(Request::get("/steady"))?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
