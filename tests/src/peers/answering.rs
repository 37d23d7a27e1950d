//! A server that answers every request with 200, where there is no nginx.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};

use crate::lab::{netns::Namespace, service::Service};

/// An empty answer.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The server. It serves one connection after the other, and no bodies.
#[derive(Debug)]
pub struct Answering {
    _service: Service,
    served: Arc<AtomicU64>,
}

impl Answering {
    /// Starts the server.
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        let service = Service::start(namespace, address, async move |listener| {
            loop {
                let (stream, _) = listener.accept().await?;
                // A connection that fails is the client's to report.
                let _ = serve(stream, &count).await;
            }
        })?;
        Ok(Self { _service: service, served })
    }

    /// Returns how many requests it has read.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

async fn serve(stream: TcpStream, count: &AtomicU64) -> Result<()> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        // A head ends with an empty line.
        if line == "\r\n" {
            count.fetch_add(1, Ordering::Relaxed);
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
        }
        line.clear();
    }
    Ok(())
}
