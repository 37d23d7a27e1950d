//! Servers with TLS other than nginx, which log their requests.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    lab::netns::Namespace,
    peers::{certificate, nginx::TLS_PORT},
    process::{Process, Signal, describe},
    wait,
};

/// The source of [`Kind::Python`].
const PYTHON: &str = include_str!("tls_server/python.py");
/// The source of the others.
const COMPILED: &str = include_str!("tls_server/server.c");

/// Debian's `BoringSSL`, below `/usr/include` and the libraries' directory.
const BORINGSSL: &str = "android";

/// A kind of server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Python's, which reads by `SSL_read_ex` of the shared library, in a thread for each connection.
    Python,
    /// One that contains the library, with symbols, with a process for each connection.
    Static,
    /// The same with the shared library of `BoringSSL`.
    BoringSsl,
    /// The same without symbols.
    Stripped,
}

/// A running server on [`TLS_PORT`] that answers every request with 200.
#[derive(Debug)]
pub struct TlsServer {
    process: Process,
    directory: TempDir,
}

impl TlsServer {
    /// Starts a server and waits until it accepts connections.
    pub fn start(namespace: &Namespace, kind: Kind) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-tls-server-").tempdir()?;
        certificate::make(directory.path())?;
        let mut command = match kind {
            Kind::Python => {
                let mut python = namespace.command("python3");
                python.args(["-c", PYTHON]);
                python
            }
            Kind::Static | Kind::BoringSsl | Kind::Stripped => {
                namespace.command(compile(directory.path(), kind)?)
            }
        };
        command.current_dir(directory.path()).stdin(Stdio::null());
        command.stdout(File::create(directory.path().join("log"))?);
        command.stderr(File::create(directory.path().join("stderr"))?);
        let mut process = Process::new("a TLS server", command.spawn().context("starting a TLS server")?);
        let listening = format!("sport = :{TLS_PORT}");
        wait::until("the server to listen", || {
            if let Some(status) = process.status()? {
                let said = fs::read_to_string(directory.path().join("stderr"))?;
                anyhow::bail!("the server ended with {}: {said}", describe(status));
            }
            Ok((!namespace.output("ss", &["-Hltn", &listening])?.is_empty()).then_some(()))
        })?;
        Ok(Self { process, directory })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it and returns what it has logged: client's port and request line, separated by a space.
    pub fn stop(mut self) -> Result<Vec<String>> {
        self.process.stop(Signal::Kill)?;
        let log = fs::read_to_string(self.directory.path().join("log"))?;
        Ok(log.lines().map(str::to_owned).collect())
    }
}

/// Compiles a server of a kind that is not [`Kind::Python`].
fn compile(directory: &Path, kind: Kind) -> Result<std::path::PathBuf> {
    let (source, program) = (directory.join("server.c"), directory.join("server"));
    fs::write(&source, COMPILED)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Wextra", "-Werror"]).arg("-o").arg(&program).arg(source);
    if kind == Kind::BoringSsl {
        let libraries = format!("/usr/lib/{}-linux-gnu/{BORINGSSL}", std::env::consts::ARCH);
        compiler.arg(format!("-I/usr/include/{BORINGSSL}")).arg(format!("-L{libraries}"));
        compiler.arg(format!("-Wl,-rpath,{libraries}")).args(["-lssl", "-lcrypto"]);
    } else {
        compiler.args(["-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic"]);
    }
    if kind == Kind::Stripped {
        compiler.arg("-s");
    }
    let made = compiler.output().context("starting cc")?;
    ensure!(made.status.success(), "cc: {}", String::from_utf8_lossy(&made.stderr));
    Ok(program)
}
