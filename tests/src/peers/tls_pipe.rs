//! The bytes inside a TLS connection, by `openssl s_client`, a process for each connection.

use std::{
    io::{self, Read, Write as _},
    net::SocketAddr,
    path::Path,
    process::{ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{lab::netns::Namespace, peers::client::Bound, process::Process, wait};

/// Timeout of an answer, in seconds.
const ANSWER_SECONDS: i64 = 20;

/// The server name that clients ask for.
pub const SERVER_NAME: &str = "api.example";

/// A TLS connection.
#[derive(Debug)]
pub(super) struct TlsPipe {
    _process: Process,
    input: ChildStdin,
    output: ChildStdout,
    local: SocketAddr,
    /// Keeps the port: until the process has bound it, it would be anybody's.
    _bound: Bound,
}

impl TlsPipe {
    /// Connects to `server` from the address and port of `bound`, and offers this protocol. Appends the connection's secrets to
    /// the file `keys`.
    pub(super) fn open(
        namespace: &Namespace,
        bound: Bound,
        server: SocketAddr,
        protocol: &str,
        keys: Option<&Path>,
    ) -> Result<Self> {
        let local = bound.local();
        let [local_text, server] = [local, server].map(|it| it.to_string());
        let mut command = namespace.command("openssl");
        command
            .args(["s_client", "-quiet", "-bind", &local_text, "-connect", &server])
            .args(["-servername", SERVER_NAME, "-alpn", protocol])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(keys) = keys {
            command.arg("-keylogfile").arg(keys);
        }
        let mut process = Process::new("openssl s_client", command.spawn().context("starting openssl")?);
        let child = process.child();
        let (input, output) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        Ok(Self { _process: process, input, output, local, _bound: bound })
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

    /// Takes bytes, which it waits for.
    pub(super) fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for TlsPipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec { tv_sec: ANSWER_SECONDS, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&patience))?;
        if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { self.output.read(buffer) }
    }
}
