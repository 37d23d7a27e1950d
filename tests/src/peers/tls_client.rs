//! HTTP/1.1 over TLS by `openssl s_client`, a process for each connection, and what they have sent.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    lab::netns::Namespace,
    peers::client::{Bound, Request},
    process::Process,
    wait,
};

/// Timeout of an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The server name that clients ask for.
pub const SERVER_NAME: &str = "api.example";

/// A keep-alive connection.
#[derive(Debug)]
pub struct TlsConnection {
    _process: Process,
    input: ChildStdin,
    output: ChildStdout,
    local: SocketAddr,
    sent: Vec<Request>,
    answered: usize,
    unread: Vec<u8>,
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
        let (sent, unread) = (Vec::new(), Vec::new());
        Ok(Self { _process: process, input, output, local, sent, answered: 0, unread })
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
        while self.answered < self.sent.len() {
            self.read_answer().with_context(|| format!("answer {} to {}", self.answered, self.local))?;
            self.answered += 1;
        }
        Ok(())
    }

    fn read_answer(&mut self) -> Result<()> {
        let head_len = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(self.unread.get(..head_len).unwrap_or_default()).into_owned();
        ensure!(head.starts_with("HTTP/1.1 200 "), "unexpected answer: {head}");
        let body_len: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .context("an answer without a length")?
            .1
            .parse()?;
        while self.unread.len() < head_len + body_len {
            self.read_more()?;
        }
        self.unread.drain(..head_len + body_len);
        Ok(())
    }

    fn read_more(&mut self) -> Result<()> {
        let patience = Timespec::try_from(ANSWER)?;
        let ready = poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&patience))?;
        ensure!(ready > 0, "no answer");
        let mut buffer = [0; 4096];
        let len = self.output.read(&mut buffer)?;
        ensure!(len > 0, "the server closed the connection");
        self.unread.extend(buffer.iter().take(len));
        Ok(())
    }
}

/// Returns how many bytes are in a pipe.
fn unread(pipe: &ChildStdin) -> Result<u64> {
    Ok(rustix::io::ioctl_fionread(pipe)?)
}
