//! Responsible for running the tool. Not responsible for what it should print.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    lab::{netns::Namespace, veth::Device},
    process::{Process, Signal, describe},
    tool::{
        ledger::Ledger,
        printed::{self, Printed},
    },
    wait,
};

/// How long a run may take that ends by itself.
const RUN: Duration = Duration::from_secs(30);

/// Where the tool is: the variable `TOA_TC`, or else where cargo puts it, beside this test's directory.
pub fn binary() -> Result<PathBuf> {
    let path = match env::var_os("TOA_TC") {
        Some(path) => path.into(),
        None => env::current_exe()?.parent().and_then(Path::parent).context("no target")?.join("toa-tc"),
    };
    ensure!(path.is_file(), "{} is missing: build it, or say where it is by TOA_TC", path.display());
    Ok(path)
}

/// The tool while it runs.
#[derive(Debug)]
pub struct ToaTc {
    process: Process,
    namespace: Namespace,
    directory: TempDir,
}

/// What a run left.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The results, bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl ToaTc {
    /// Starts `toa-tc attach` on a device and waits until it is attached.
    pub fn attach<S: AsRef<OsStr>>(device: &Device, arguments: &[S]) -> Result<Self> {
        let directory = new_directory()?;
        let stdout = File::create(directory.path().join("stdout"))?;
        Self::start(device, arguments, directory, stdout.into())
    }

    /// As [`Self::attach`], but the results go into a pipe: see [`Self::process`].
    pub fn attach_piped<S: AsRef<OsStr>>(device: &Device, arguments: &[S]) -> Result<Self> {
        Self::start(device, arguments, new_directory()?, Stdio::piped())
    }

    fn start<S: AsRef<OsStr>>(
        device: &Device,
        arguments: &[S],
        directory: TempDir,
        stdout: Stdio,
    ) -> Result<Self> {
        let ready_file = directory.path().join("ready");
        let stderr = directory.path().join("stderr");
        let mut command = device.namespace.command(binary()?);
        command.args(["attach", &device.name]).args(arguments).arg("--ready-file").arg(&ready_file);
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&stderr)?);
        let mut process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
        wait::until("toa-tc to attach", || {
            if ready_file.exists() {
                return Ok(Some(()));
            }
            if let Some(status) = process.status()? {
                bail!("toa-tc ended with {}: {}", describe(status), fs::read_to_string(&stderr)?);
            }
            Ok(None)
        })?;
        Ok(Self { process, namespace: device.namespace.clone(), directory })
    }

    /// Runs the tool in a namespace to its end.
    pub fn run<S: AsRef<OsStr>>(namespace: &Namespace, arguments: &[S]) -> Result<Output> {
        Self::run_through(namespace, &[], &binary()?, arguments)
    }

    /// As [`Self::run`]: the given copy of the tool, behind a command that changes something for it.
    pub fn run_through<S: AsRef<OsStr>>(
        namespace: &Namespace,
        wrapper: &[&str],
        binary: &Path,
        arguments: &[S],
    ) -> Result<Output> {
        let directory = new_directory()?;
        let mut command = match wrapper.split_first() {
            Some((program, options)) => {
                let mut command = namespace.command(program);
                command.args(options).arg(binary);
                command
            }
            None => namespace.command(binary),
        };
        command.args(arguments).stdin(Stdio::null());
        command.stdout(File::create(directory.path().join("stdout"))?);
        command.stderr(File::create(directory.path().join("stderr"))?);
        let process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
        Self { process, namespace: namespace.clone(), directory }.wait(RUN)
    }

    /// Changes what it watches, as a second process does: `change` is `add` or `remove`. Returns when it is done.
    pub fn watch(&self, change: &str, rule: &str) -> Result<()> {
        self.watch_all(change, &[rule.to_owned()]).context(rule.to_owned())
    }

    /// The same with several rules at once.
    pub fn watch_all(&self, change: &str, rules: &[String]) -> Result<()> {
        let id = self.id().to_string();
        let mut arguments = vec!["watch", change, "--pid", &id];
        arguments.extend(rules.iter().map(String::as_str));
        Self::run(&self.namespace, &arguments)?
            .succeeded()
            .with_context(|| format!("watch {change}"))
            .map(drop)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> Result<String> {
        read(self.directory.path(), "stdout")
    }

    /// What it has said so far.
    pub fn stderr(&self) -> Result<String> {
        read(self.directory.path(), "stderr")
    }

    /// Asks it to end and returns what it left.
    pub fn stop(mut self, signal: Signal) -> Result<Output> {
        self.process.signal(signal)?;
        self.wait(RUN)
    }

    /// Waits for its end and returns what it left.
    pub fn wait(mut self, patience: Duration) -> Result<Output> {
        let status = self.process.wait(patience)?;
        Ok(Output { status, stdout: self.stdout()?, stderr: self.stderr()? })
    }
}

impl Output {
    /// The requests that it printed, in their order.
    pub fn requests(&self) -> Result<Vec<Printed>> {
        printed::parse(&self.stdout)
    }

    /// Its account of what became of every packet.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::parse(&self.stderr)
    }

    /// Fails unless it ended well.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(self.status.success(), "toa-tc ended with {}: {}", describe(self.status), self.stderr);
        Ok(self)
    }
}

fn new_directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("toa-tc-").tempdir()?)
}

/// Reads a file, of which there is none when the results went into a pipe.
fn read(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join(name);
    if !path.exists() {
        return Ok(String::new());
    }
    Ok(String::from_utf8_lossy(&fs::read(&path)?).into_owned())
}
