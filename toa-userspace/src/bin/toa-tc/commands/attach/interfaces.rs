//! Responsible for noticing and saying that interfaces are gone. Not responsible for what then becomes of the run.

use std::time::Duration;

use toa_userspace::live::{
    host::interfaces,
    program::attach::{Attached, Target},
};
use tokio::time::sleep;

use crate::stderr;

/// How often it is looked. Nobody waits for it.
const INTERVAL: Duration = Duration::from_millis(500);

/// Says of each interface when it is gone, detaches from it, and returns when none is left. One that moves to another
/// network namespace takes our program along, where nobody asked for it.
pub(crate) async fn all_gone(attached: &mut Vec<(Target, Attached)>) {
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
