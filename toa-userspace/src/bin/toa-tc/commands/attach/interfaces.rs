//! Detects removed interfaces.

use std::time::Duration;

use toa_userspace::live::{
    host::interfaces,
    program::attach::{Attached, Target},
};
use tokio::time::sleep;

use crate::stderr;

/// Poll interval.
const INTERVAL: Duration = Duration::from_millis(500);

/// Reports each interface that is removed, detaches from it, and returns when none is left. An interface that moves to
/// another network namespace counts as removed: it would take our program with it.
pub(crate) async fn until_all_removed(attached: &mut Vec<(Target, Attached)>) {
    while !attached.is_empty() {
        sleep(INTERVAL).await;
        attached.retain(|(target, _)| {
            let is_gone = interfaces::is_interface_gone(target.index());
            if is_gone {
                stderr::line(format_args!("{} is gone", target.interface()));
            }
            !is_gone
        });
    }
}
