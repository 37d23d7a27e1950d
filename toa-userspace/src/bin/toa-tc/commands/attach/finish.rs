//! The end of a run.

use std::io;

use anyhow::{Context as _, Error, Result};
use log::Level;
use sd_notify::NotifyState;
use toa_userspace::live::{host::clock, rings::reader::Done};

use super::{
    Run,
    interfaces::report_last,
    outcome::{Counts, fail, half},
    tunnels,
};
use crate::{
    printer, stderr,
    stdout::{self, Blocked},
};

impl Run {
    /// Detaches, reads the rest of the rings, and prints the ledger.
    pub(super) async fn finish(mut self, failure: Option<Error>) -> Result<()> {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        report_last(&mut self.attachments);
        // Detach first, then read the rings, and read the counters last, so that every packet is counted.
        drop(self.attachments);
        drop(self.plaintext);
        // The receiver is dropped early only if the reader failed, which is reported below.
        let _ = self.stop.send(true);
        let read = self.signals.join(self.reader, &mut self.results).await;
        // Nothing is drawn any more, and what follows is to be read.
        drop(self.top);
        drop(self.pins);
        let counters = self.counters.read()?;
        let read = read.and_then(|read| read.context(stdout::GAVE_UP)?.context("cannot read the rings"));
        let (pipeline, mut printer) = match read {
            Ok(read) => read,
            Err(error) => {
                stderr::ledger(Level::Warn, &half(&counters.ledger()));
                return fail([failure, Some(error)]);
            }
        };
        let counts = Counts {
            counters,
            pipeline: *pipeline.ledger(),
            examples: pipeline.examples().clone(),
            evicted: self.flows.evicted(),
            hidden: printer.hidden(),
        };
        let shown = counts.clone();
        let last_line =
            tokio::task::spawn_blocking(move || printer.finish(&shown.summary(false), clock::unix_ns()));
        let written = self.signals.join(last_line, &mut self.results).await?;
        if let Some(otlp) = self.otlp {
            let sent = tokio::task::spawn_blocking(|| otlp.finish());
            let _ = sent.await;
        }
        // What the reader found too late to end the run.
        let found = || self.done.try_recv().ok().and_then(Done::error);
        let last = || written.map_or_else(|| Some(io::Error::other(Blocked)), Result::err);
        // The first error is the cause of later ones.
        let unwritten = self.unwritten.or_else(found).or_else(last).and_then(printer::failure);
        // Last, so that it is known whether the results were written.
        stderr::summary(&counts.summary(unwritten.is_some()));
        tunnels::counted(&counts.counters).for_each(|line| stderr::warning(format_args!("{line}")));
        fail([failure, unwritten])
    }
}
