//! Responsible for when to explain that nothing has matched. Not responsible for the words.

use std::{convert::Infallible, future::pending, time::Duration};

use toa_common::wire::toa_pairs::ToaPairs;
use toa_userspace::{
    live::{maps::counters::Counters, program::attach::Target},
    print::no_match::{Explanation, Place},
};
use tokio::time::sleep;

use crate::stderr;

/// How long something may take to match before it is explained why nothing did: no one who watches waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits, explains once if there is something to explain, and then does nothing for ever.
pub(crate) async fn explain(counters: &Counters, targets: &[Target], pairs: &ToaPairs) -> Infallible {
    sleep(PATIENCE).await;
    // If they cannot be read now, they cannot at the end either, where that is an error.
    if let Ok(snapshot) = counters.read() {
        let interfaces: Vec<_> = targets.iter().map(Target::interface).collect();
        let place = Place::Interfaces(&interfaces, PATIENCE);
        if let Some(explanation) = Explanation::new(&snapshot.traffic(), place, pairs) {
            stderr::line(format_args!("{explanation}"));
        }
    }
    pending().await
}
