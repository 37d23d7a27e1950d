//! Explains once why nothing has matched.

use std::{convert::Infallible, future::pending, time::Duration};

use toa_common::wire::toa_pairs::ToaPairs;
use toa_userspace::{
    live::{maps::counters::Counters, program::attach::Target},
    print::no_match::{NoMatch, Source},
};
use tokio::time::sleep;

use crate::stderr;

/// How long to wait for a match before explaining why there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits, explains if nothing has matched, and then stays pending.
pub(crate) async fn report_no_match(counters: &Counters, targets: &[Target], pairs: &ToaPairs) -> Infallible {
    sleep(PATIENCE).await;
    // Counters that cannot be read now cannot be read at the end either, where that is an error.
    if let Ok(snapshot) = counters.read() {
        let interfaces: Vec<_> = targets.iter().map(Target::interface).collect();
        let source = Source::Interfaces(&interfaces, PATIENCE);
        if let Some(no_match) = NoMatch::new(&snapshot.traffic(), source, pairs) {
            stderr::line(format_args!("{no_match}"));
        }
    }
    pending().await
}
