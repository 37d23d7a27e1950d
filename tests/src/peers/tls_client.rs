//! HTTP/1.1 over TLS, and what was sent.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

pub use crate::peers::tls_pipe::SERVER_NAME;
use crate::{
    lab::netns::Namespace,
    peers::{
        answers::Answers,
        client::{Bound, Request},
        tls_pipe::TlsPipe,
    },
};

/// A keep-alive connection.
#[derive(Debug)]
pub struct TlsConnection {
    pipe: TlsPipe,
    sent: Vec<Request>,
    answers: Answers,
}

impl TlsConnection {
    /// Connects to `server` from the address and port of `bound`.
    pub fn open(namespace: &Namespace, bound: Bound, server: SocketAddr) -> Result<Self> {
        let pipe = TlsPipe::open(namespace, bound, server, "http/1.1", None)?;
        Ok(Self { pipe, sent: Vec::new(), answers: Answers::default() })
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
        let answered = self.answers.read(&mut self.pipe, self.sent.len());
        answered.with_context(|| format!("a request of {}", self.pipe.local()))
    }
}
