//! Forwards the kernel program's log to the `log` crate.

use std::io;

use aya_log::EbpfLogger;
use log::Log;
use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

use crate::live::program::load::Loaded;

/// Why the log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The log's map cannot be opened.
    #[error("cannot open the log of the eBPF object")]
    Map(#[source] aya_log::Error),
    /// The reader cannot wait for new lines.
    #[error("cannot wait for the log of the eBPF object")]
    Wait(#[source] io::Error),
}

/// The log of a loaded object.
pub struct KernelLog(AsyncFd<EbpfLogger<&'static dyn Log>>);

impl KernelLog {
    /// Takes the log of `loaded`.
    pub fn new(loaded: &mut Loaded) -> Result<Self, LogError> {
        let logger = EbpfLogger::init(loaded.ebpf_mut()).map_err(LogError::Map)?;
        // SAFETY: the logger keeps its one descriptor open until it is dropped together with this value.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
        logger.map(Self).map_err(|error| LogError::Wait(error.into()))
    }

    /// Forwards lines until waiting for them fails.
    pub async fn read(mut self) {
        while let Ok(mut ready) = self.0.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }
}
