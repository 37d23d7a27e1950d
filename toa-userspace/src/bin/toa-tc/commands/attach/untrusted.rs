//! Reports sources whose TOA is not trusted.

use std::{collections::HashSet, convert::Infallible, future::pending, time::Duration};

use toa_common::limits::MAX_UNTRUSTED;
use toa_userspace::live::maps::balancers::Untrusted;
use tokio::time::sleep;

use crate::stderr;

/// Poll interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reports each untrusted source once, at most `MAX_UNTRUSTED` of them: anyone can send a TOA.
pub(crate) async fn report_untrusted(untrusted: &Untrusted) -> Infallible {
    let mut reported = HashSet::new();
    while reported.len() < MAX_UNTRUSTED as usize {
        sleep(INTERVAL).await;
        // Sources that cannot be read now are read next time.
        for source in untrusted.read().unwrap_or_default() {
            if reported.insert(source) {
                stderr::warning(format_args!("ignoring TOA from {source}: not listed with --lb"));
            }
        }
    }
    stderr::warning(format_args!(
        "ignoring TOA from more than {MAX_UNTRUSTED} sources that are not listed with --lb"
    ));
    pending().await
}
