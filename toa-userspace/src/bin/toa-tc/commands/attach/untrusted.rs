//! Responsible for telling of each source, once, that its TOA is not believed. Not responsible for not believing it.

use std::{collections::HashSet, convert::Infallible, future::pending, time::Duration};

use toa_common::limits::MAX_UNTRUSTED;
use toa_userspace::live::maps::balancers::Untrusted;
use tokio::time::sleep;

use crate::stderr;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells for ever, but of no more sources than the kernel remembers at once: anybody may write a TOA.
pub(crate) async fn distrust(untrusted: &Untrusted) -> Infallible {
    let mut told = HashSet::new();
    while told.len() < MAX_UNTRUSTED as usize {
        sleep(INTERVAL).await;
        // What cannot be read now is read the next time.
        for source in untrusted.read().unwrap_or_default() {
            if told.insert(source) {
                stderr::line(format_args!("{source} sends TOA and is no balancer of --lb: not believed"));
            }
        }
    }
    stderr::line(format_args!("more sources than {MAX_UNTRUSTED} send TOA that is not believed"));
    pending().await
}
