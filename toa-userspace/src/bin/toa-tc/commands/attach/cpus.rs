//! Reads packets of CPUs that need a new ring while the run lasts.

use std::{convert::Infallible, future::pending, time::Duration};

use anyhow::Error;
use toa_userspace::{
    ledger::Ledger,
    live::{
        maps::counters::Counters,
        rings::{
            Ring,
            cpus::{Cause, Changes, Cpus},
        },
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::stderr;

/// Poll interval.
const INTERVAL: Duration = Duration::from_millis(250);

/// Passes the rings of these CPUs to the reader, and reports them. `read` changes whenever all rings were read.
pub(crate) async fn follow_cpus(
    cpus: Option<&mut Cpus>,
    counters: &Counters,
    rings: &mpsc::Sender<Ring>,
    mut read: watch::Receiver<Ledger>,
) -> Infallible {
    let Some(cpus) = cpus else {
        return pending().await;
    };
    loop {
        sleep(INTERVAL).await;
        // The sender is dropped only at the end of the run.
        let were_read = read.has_changed().unwrap_or(false);
        read.mark_unchanged();
        let Changes { offline, rings: new_rings } = cpus.open(counters, were_read);
        for cpu in offline {
            stderr::info(format_args!("CPU {cpu} went offline"));
        }
        for (cpu, cause, ring) in new_rings {
            let cause = match cause {
                Cause::Online => "came online",
                Cause::Stuck => "has a new ring, because its old one took nothing",
            };
            match ring {
                Ok(ring) => {
                    // The receiver is dropped only at the end of the run.
                    let _ = rings.send(ring).await;
                    stderr::info(format_args!("CPU {cpu} {cause}: its packets are read"));
                }
                Err(error) => stderr::warning(format_args!(
                    "CPU {cpu} {cause}, but its packets are lost: {:#}",
                    Error::new(error)
                )),
            }
        }
    }
}
