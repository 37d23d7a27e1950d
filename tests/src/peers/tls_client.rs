//! HTTP/1.1 over TLS, and what was sent.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

pub use crate::peers::tls_pipe::SERVER_NAME;
use crate::{
    lab::netns::Namespace,
    peers::{
        client::{Bound, Request},
        tls_pipe::TlsPipe,
    },
};

/// A keep-alive connection.
#[derive(Debug)]
pub struct TlsConnection {
    pipe: TlsPipe,
    sent: Vec<Request>,
    answered: usize,
}

impl TlsConnection {
    /// Connects to `server` from the address and port of `bound`, which is closed before.
    pub fn open(namespace: &Namespace, bound: Bound, server: SocketAddr) -> Result<Self> {
        let pipe = TlsPipe::open(namespace, bound, server, "http/1.1")?;
        Ok(Self { pipe, sent: Vec::new(), answered: 0 })
    }

    /// Returns its local address and port.
    pub fn local(&self) -> SocketAddr {
        self.pipe.local()
    }

    /// Returns the requests sent, in order.
    pub fn sent(&self) -> &[Request] {
        &self.sent
    }

    /// Returns the bytes of heads and bodies sent.
    pub fn sent_bytes(&self) -> usize {
        self.sent.iter().map(|request| request.bytes().len()).sum()
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        self.pipeline(vec![request])
    }

    /// Sends requests in one piece and reads their answers.
    pub fn pipeline(&mut self, requests: Vec<Request>) -> Result<()> {
        let bytes = requests.iter().map(Request::bytes).collect::<Vec<_>>().concat();
        self.sent.extend(requests);
        self.pipe.write(&bytes)?;
        self.read_answers()
    }

    /// Sends a request whose bytes each have a TLS record of their own, as far as they are read one by one, and reads its
    /// answer.
    pub fn ask_in_records_of_one_byte(&mut self, request: Request) -> Result<()> {
        for byte in request.bytes() {
            self.pipe.write(&[byte])?;
            self.pipe.wait_until_read()?;
        }
        self.sent.push(request);
        self.read_answers()
    }

    /// Sends the first `len` bytes of a request.
    pub fn begin(&mut self, request: &Request, len: usize) -> Result<()> {
        self.pipe.write(request.bytes().get(..len).context("the length of a request")?)
    }

    fn read_answers(&mut self) -> Result<()> {
        while self.answered < self.sent.len() {
            self.read_answer().with_context(|| format!("answer {} to {}", self.answered, self.local()))?;
            self.answered += 1;
        }
        Ok(())
    }

    fn read_answer(&mut self) -> Result<()> {
        let head_len = loop {
            if let Some(at) = self.pipe.unread().windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.pipe.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.pipe.take(head_len)?).into_owned();
        ensure!(head.starts_with("HTTP/1.1 200 "), "unexpected answer: {head}");
        let body_len: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .context("an answer without a length")?
            .1
            .parse()?;
        self.pipe.take(body_len).map(drop)
    }
}
