//! The time that a run may last.

use std::{future::pending, time::Duration};

use jiff::SignedDuration;
use tokio::time::sleep;

/// Waits until this time is over, or forever without one.
pub(crate) async fn elapsed(duration: Option<SignedDuration>) {
    match duration.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) => sleep(duration).await,
        None => pending().await,
    }
}
