//! HTTP/1.1 over TLS by `openssl s_client`, a process for each connection, and what they have sent.

use std::{
    io::{self, Read, Write as _},
    net::SocketAddr,
    process::{ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    answers::Answers,
    client::{Bound, Request},
};
use crate::{lab::netns::Namespace, process::Process, wait};

/// Timeout of an answer, in seconds.
const ANSWER_SECONDS: i64 = 20;

/// The server name that clients ask for.
pub const SERVER_NAME: &str = "api.example";

/// A keep-alive connection.
#[derive(Debug)]
pub struct TlsConnection {
    _process: Process,
    input: ChildStdin,
    output: Output,
    local: SocketAddr,
    sent: Vec<Request>,
    answers: Answers,
}

impl TlsConnection {
    /// Connects to `server` from the address and port of `bound`, which is closed before.
    pub fn open(namespace: &Namespace, bound: Bound, server: SocketAddr) -> Result<Self> {
        let local = bound.local();
        drop(bound);
        let [local_text, server] = [local, server].map(|it| it.to_string());
        let child = namespace
            .command("openssl")
            .args(["s_client", "-quiet", "-bind", &local_text, "-connect", &server])
            .args(["-servername", SERVER_NAME, "-alpn", "http/1.1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting openssl")?;
        let mut process = Process::new("openssl s_client", child);
        let child = process.child();
        let (input, output) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let (output, answers) = (Output(output), Answers::default());
        Ok(Self { _process: process, input, output, local, sent: Vec::new(), answers })
    }

    /// Returns its local address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
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
        self.input.write_all(&bytes)?;
        self.sent.extend(requests);
        self.read_answers()
    }

    /// Sends a request whose bytes each have a TLS record of their own, as far as they are read one by one, and reads its
    /// answer.
    pub fn ask_in_records_of_one_byte(&mut self, request: Request) -> Result<()> {
        for byte in request.bytes() {
            self.input.write_all(&[byte])?;
            // Until it is read, so that it is not sent with the next one.
            wait::until("openssl to read", || Ok((unread(&self.input)? == 0).then_some(())))?;
        }
        self.sent.push(request);
        self.read_answers()
    }

    /// Sends the first `len` bytes of a request.
    pub fn begin(&mut self, request: &Request, len: usize) -> Result<()> {
        let bytes = request.bytes();
        Ok(self.input.write_all(bytes.get(..len).context("the length of a request")?)?)
    }

    fn read_answers(&mut self) -> Result<()> {
        let answered = self.answers.read(&mut self.output, self.sent.len());
        answered.with_context(|| format!("a request of {}", self.local))
    }
}

/// A pipe whose reader does not wait for ever.
#[derive(Debug)]
struct Output(ChildStdout);

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec { tv_sec: ANSWER_SECONDS, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience))?;
        if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { self.0.read(buffer) }
    }
}

/// Returns how many bytes are in a pipe.
fn unread(pipe: &ChildStdin) -> Result<u64> {
    Ok(rustix::io::ioctl_fionread(pipe)?)
}
