//! Responsible for noticing and saying that interfaces are gone. Not responsible for what then becomes of the run.

use std::time::Duration;

use toa_userspace::live::{attach::Target, host};
use tokio::time::sleep;

use crate::stderr;

/// How often it is looked. Nobody waits for it: what the kernel removes takes our program with it.
const INTERVAL: Duration = Duration::from_millis(500);

/// Says of each interface when it is gone, and returns when none is left.
pub(crate) async fn all_gone(targets: &[Target]) {
    let mut present: Vec<&Target> = targets.iter().collect();
    while !present.is_empty() {
        sleep(INTERVAL).await;
        present.retain(|target| {
            let is_gone = host::is_interface_gone(target.index());
            if is_gone {
                stderr::line(format_args!("{} is gone", target.interface()));
            }
            !is_gone
        });
    }
}
