//! Servers of the lab that run inside this process, in a namespace, until they are dropped.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::lab::netns::Namespace;

/// A server on its own thread. Dropping it ends the server and all its connections.
#[derive(Debug)]
pub struct Service {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Listens on `address` in `namespace` before it returns, and serves with `work`. The sockets that `work`
    /// opens are in the namespace as well.
    pub fn start<W: Future<Output = Result<()>>>(
        namespace: &Namespace,
        address: SocketAddr,
        work: impl FnOnce(tokio::net::TcpListener) -> W + Send + 'static,
    ) -> Result<Self> {
        let listener = namespace
            .run(|| {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .with_context(|| format!("listening on {address}"))?;
        let namespace = namespace.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // Sockets belong to the namespace of the thread that opens them, so one thread does all the work.
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(async {
                tokio::select! {
                    done = work(tokio::net::TcpListener::from_std(listener)?) => done,
                    // The sender was dropped.
                    _ = stopped => Ok(()),
                }
            })
        };
        let thread = thread::spawn(move || {
            if let Err(error) = namespace.run(serve) {
                eprintln!("the server on {address}: {error:#}");
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}
