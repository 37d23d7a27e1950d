//! Runs the tool.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    lab::{netns::Namespace, veth::Device},
    process::{Process, Signal, describe},
    tool::{
        ledger::Ledger,
        messages,
        printed::{self, Printed},
    },
    wait,
};

/// Timeout of a run that ends by itself.
const RUN: Duration = Duration::from_secs(30);

/// Exit code of a command that found nothing to show.
pub const NOTHING_FOUND: i32 = 3;

/// Returns the path of the tool: the variable `TOA_TC`, or cargo's output directory, the parent of the
/// test's.
pub fn binary() -> Result<PathBuf> {
    let path = match env::var_os("TOA_TC") {
        Some(path) => path.into(),
        None => env::current_exe()?.parent().and_then(Path::parent).context("no target")?.join("toa-tc"),
    };
    ensure!(path.is_file(), "{} is missing: build it, or say where it is by TOA_TC", path.display());
    Ok(path)
}

/// How to start `toa-tc attach`.
#[derive(Debug, Default)]
pub struct Start<'a> {
    /// The command, if it is not `attach`.
    pub command: Option<&'a str>,
    /// A command that runs the tool, with its options: it becomes the tool, or passes signals on to it.
    pub wrapper: &'a [&'a str],
    /// Its stdout. By default a file, see [`ToaTc::stdout`].
    pub stdout: Option<Stdio>,
    /// Its stderr. By default a file, see [`ToaTc::stderr`].
    pub stderr: Option<Stdio>,
}

/// The running tool.
#[derive(Debug)]
pub struct ToaTc {
    process: Process,
    namespace: Namespace,
    directory: TempDir,
    /// Whether the diagnostics of `-v` were asked for, not only all counts.
    is_verbose: bool,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The results, with invalid UTF-8 replaced.
    pub stdout: String,
    /// Diagnostics and the ledger, as text even if they are JSON.
    pub stderr: String,
    /// What it has written to stderr.
    pub raw_stderr: String,
}

impl ToaTc {
    /// Starts `toa-tc attach` on a device and waits until it is attached.
    pub fn attach<S: AsRef<OsStr>>(device: &Device, arguments: &[S]) -> Result<Self> {
        Self::attach_as(device, arguments, Start::default())
    }

    /// Like [`Self::attach`], but with stdout as a pipe: see [`Self::process`].
    pub fn attach_piped<S: AsRef<OsStr>>(device: &Device, arguments: &[S]) -> Result<Self> {
        Self::attach_as(device, arguments, Start { stdout: Some(Stdio::piped()), ..Start::default() })
    }

    /// Like [`Self::attach`], but started in another way.
    pub fn attach_as<S: AsRef<OsStr>>(device: &Device, arguments: &[S], start: Start<'_>) -> Result<Self> {
        let directory = new_directory()?;
        let ready_file = directory.path().join("ready");
        let mut command = wrapped(&device.namespace, start.wrapper, &binary()?);
        command
            .args([start.command.unwrap_or("attach"), &device.name])
            .args(arguments)
            .args(counting(arguments))
            .arg("--ready-file")
            .arg(&ready_file);
        let or_file = |stdio: Option<Stdio>, name: &str| {
            stdio
                .map_or_else(|| Ok::<_, anyhow::Error>(File::create(directory.path().join(name))?.into()), Ok)
        };
        command.stdout(or_file(start.stdout, "stdout")?).stderr(or_file(start.stderr, "stderr")?);
        command.stdin(Stdio::null());
        let mut process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
        wait::until("toa-tc to attach", || {
            if ready_file.exists() {
                return Ok(Some(()));
            }
            if let Some(status) = process.status()? {
                bail!("toa-tc ended with {}: {}", describe(status), read(directory.path(), "stderr")?);
            }
            Ok(None)
        })?;
        let is_verbose = counting(arguments).is_none();
        Ok(Self { process, namespace: device.namespace.clone(), directory, is_verbose })
    }

    /// Runs the tool in a namespace until it exits.
    pub fn run<S: AsRef<OsStr>>(namespace: &Namespace, arguments: &[S]) -> Result<Output> {
        Self::run_through(namespace, &[], &binary()?, arguments)
    }

    /// Like [`Self::run`], but runs the given copy of the tool through a wrapper command.
    pub fn run_through<S: AsRef<OsStr>>(
        namespace: &Namespace,
        wrapper: &[&str],
        binary: &Path,
        arguments: &[S],
    ) -> Result<Output> {
        let directory = new_directory()?;
        let mut command = wrapped(namespace, wrapper, binary);
        command.args(arguments).stdin(Stdio::null());
        if arguments.first().is_some_and(|command| command.as_ref() == "read") {
            command.args(counting(arguments));
        }
        command.stdout(File::create(directory.path().join("stdout"))?);
        command.stderr(File::create(directory.path().join("stderr"))?);
        let process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
        let is_verbose = counting(arguments).is_none();
        Self { process, namespace: namespace.clone(), directory, is_verbose }.wait(RUN)
    }

    /// Changes what it watches from a second process: `change` is `add` or `remove`. Returns when that is
    /// done.
    pub fn watch(&self, change: &str, rule: &str) -> Result<()> {
        self.watch_all(change, &[rule.to_owned()]).context(rule.to_owned())
    }

    /// Like [`Self::watch`], with several rules at once.
    pub fn watch_all(&self, change: &str, rules: &[String]) -> Result<()> {
        let id = self.id().to_string();
        let mut arguments = vec!["watch", change, "--pid", &id];
        arguments.extend(rules.iter().map(String::as_str));
        Self::run(&self.namespace, &arguments)?
            .succeeded()
            .with_context(|| format!("watch {change}"))
            .map(drop)
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns what it has written to stdout so far.
    pub fn stdout(&self) -> Result<String> {
        read(self.directory.path(), "stdout")
    }

    /// Returns what it has written to stderr so far, as text even if that is JSON.
    pub fn stderr(&self) -> Result<String> {
        let stderr = messages::as_text(&self.raw_stderr()?);
        let is_wanted = |line: &&str| self.is_verbose || !line.starts_with("toa-tc: debug: ");
        Ok(stderr.split_inclusive('\n').filter(is_wanted).collect())
    }

    /// Returns what it has written to stderr so far.
    pub fn raw_stderr(&self) -> Result<String> {
        read(self.directory.path(), "stderr")
    }

    /// Sends it a signal and returns its output once it has exited.
    pub fn stop(mut self, signal: Signal) -> Result<Output> {
        self.process.signal(signal)?;
        self.wait(RUN)
    }

    /// Waits for it to exit and returns its output.
    pub fn wait(mut self, patience: Duration) -> Result<Output> {
        let status = self.process.wait(patience)?;
        let raw_stderr = self.raw_stderr()?;
        Ok(Output { status, stdout: self.stdout()?, stderr: self.stderr()?, raw_stderr })
    }
}

impl Output {
    /// Parses the requests that it printed, in order.
    pub fn requests(&self) -> Result<Vec<Printed>> {
        printed::parse(&self.stdout)
    }

    /// Parses its ledger.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::parse(&self.stderr)
    }

    /// Fails unless it exited successfully, or because it found nothing to show.
    pub fn worked(self) -> Result<Self> {
        if self.status.code() == Some(NOTHING_FOUND) { Ok(self) } else { self.succeeded() }
    }

    /// Fails unless it exited successfully.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(self.status.success(), "toa-tc ended with {}: {}", describe(self.status), self.stderr);
        Ok(self)
    }
}

/// Returns the option that makes it print all counts at the end, unless it decides itself what to print. What it says besides
/// is not in [`Output::stderr`] then.
fn counting<S: AsRef<OsStr>>(arguments: &[S]) -> Option<&'static str> {
    let decides = |argument: &S| ["-v", "-vv", "-q"].map(OsStr::new).contains(&argument.as_ref());
    (!arguments.iter().any(decides)).then_some("-v")
}

/// Returns the command that runs `binary` through a wrapper, if there is one.
fn wrapped(namespace: &Namespace, wrapper: &[&str], binary: &Path) -> Command {
    match wrapper.split_first() {
        Some((program, options)) => {
            let mut command = namespace.command(program);
            command.args(options).arg(binary);
            command
        }
        None => namespace.command(binary),
    }
}

fn new_directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("toa-tc-").tempdir()?)
}

/// Reads a file, which does not exist if the output goes elsewhere.
fn read(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join(name);
    if !path.exists() {
        return Ok(String::new());
    }
    Ok(String::from_utf8_lossy(&fs::read(&path)?).into_owned())
}
