//! Responsible for a small HTTP server for machines without nginx, which logs what nginx does. Not responsible
//! for HTTP beyond requests without a body.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    netns::Namespace,
    nginx::{Logged, PORT},
    service::Service,
};

/// Longest head, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";

type Log = Arc<Mutex<Vec<Logged>>>;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Responder {
    _service: Service,
    log: Log,
}

impl Responder {
    /// Starts it on nginx's port, IPv4 only.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let log = Log::default();
        let of_service = Arc::clone(&log);
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
        let service = Service::start(namespace, address, |listener| serve(listener, of_service))?;
        Ok(Self { _service: service, log })
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> Vec<Logged> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, log: Log) -> Result<()> {
    loop {
        let (stream, peer) = listener.accept().await.context("accepting")?;
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            if let Err(error) = answer(stream, peer, &log).await {
                eprintln!("the HTTP responder: {peer}: {error:#}");
            }
        });
    }
}

/// Answers the requests of a connection, one after another.
async fn answer(mut stream: TcpStream, peer: SocketAddr, log: &Log) -> Result<()> {
    let mut unread = Vec::new();
    loop {
        while let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = unread.drain(..end + 4).collect();
            let logged = logged(peer, &head).context("not a request")?;
            log.lock().unwrap_or_else(PoisonError::into_inner).push(logged);
            stream.write_all(ANSWER).await?;
        }
        anyhow::ensure!(unread.len() < MAX_HEAD_BYTES, "the head is too long");
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
    }
}

/// What nginx would log of a request.
fn logged(peer: SocketAddr, head: &[u8]) -> Option<Logged> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.lines();
    let request = lines.next()?.to_owned();
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let value = |wanted: &str| {
        let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        field.map_or("-", |(_, value)| value.trim()).to_owned()
    };
    Some(Logged {
        peer,
        status: 200,
        request_length: u64::try_from(head.len()).ok()?,
        request_id: value("x-request-id"),
        team: value("x-team"),
        request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_what_was_asked() {
        let peer = "10.9.0.1:4242".parse().unwrap();
        let head = b"GET /a?b HTTP/1.1\r\nhost: lab\r\nX-Team:payments\r\n\r\n";
        let logged = logged(peer, head).unwrap();
        assert_eq!((logged.peer, logged.request.as_str()), (peer, "GET /a?b HTTP/1.1"));
        assert_eq!((logged.team.as_str(), logged.request_id.as_str()), ("payments", "-"));
        assert_eq!(logged.request_length, u64::try_from(head.len()).unwrap());
        assert!(super::logged(peer, &[0xff]).is_none());
    }
}
