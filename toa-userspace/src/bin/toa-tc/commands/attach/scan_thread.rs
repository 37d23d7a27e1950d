//! A thread that looks into other processes.

use std::{io, thread};

use tokio::sync::oneshot;

/// Runs `scan` on a thread with the capabilities of this one. Those of the runtime have none.
pub(super) async fn run<T: Send + 'static>(scan: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // The receiver is dropped only at the end of the run.
        let _ = done.send(scan());
    };
    thread::Builder::new().name("scan".to_owned()).spawn(work)?;
    result.await.map_err(io::Error::other)
}
