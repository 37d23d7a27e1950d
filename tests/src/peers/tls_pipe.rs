//! The bytes inside a TLS connection, by `openssl s_client`, a process for each connection.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{lab::netns::Namespace, peers::client::Bound, process::Process, wait};

/// Timeout of an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The server name that clients ask for.
pub const SERVER_NAME: &str = "api.example";

/// A TLS connection.
#[derive(Debug)]
pub(super) struct TlsPipe {
    _process: Process,
    input: ChildStdin,
    output: ChildStdout,
    local: SocketAddr,
    unread: Vec<u8>,
}

impl TlsPipe {
    /// Connects to `server` from the address and port of `bound`, which is closed before, and offers this protocol.
    pub(super) fn open(
        namespace: &Namespace,
        bound: Bound,
        server: SocketAddr,
        protocol: &str,
    ) -> Result<Self> {
        let local = bound.local();
        drop(bound);
        let [local_text, server] = [local, server].map(|it| it.to_string());
        let child = namespace
            .command("openssl")
            .args(["s_client", "-quiet", "-bind", &local_text, "-connect", &server])
            .args(["-servername", SERVER_NAME, "-alpn", protocol])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting openssl")?;
        let mut process = Process::new("openssl s_client", child);
        let child = process.child();
        let (input, output) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        Ok(Self { _process: process, input, output, local, unread: Vec::new() })
    }

    /// Returns its local address and port.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.input.write_all(bytes)?)
    }

    /// Waits until everything has been read from the pipe, so that it is not sent with what follows.
    pub(super) fn wait_until_read(&self) -> Result<()> {
        wait::until("openssl to read", || Ok((rustix::io::ioctl_fionread(&self.input)? == 0).then_some(())))
    }

    /// Returns what was received and not taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes bytes, which it waits for.
    pub(super) fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        while self.unread.len() < len {
            self.read_more()?;
        }
        Ok(self.unread.drain(..len).collect())
    }

    /// Waits for more bytes.
    pub(super) fn read_more(&mut self) -> Result<()> {
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
