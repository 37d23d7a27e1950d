//! A terminal in which commands run on the lab's server.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use tempfile::TempDir;
use toa_userspace::print::push_fmt;

use crate::{
    lab::veth::Device,
    process::{Process, Signal},
    tool::toa_tc,
    wait,
};

/// Timeout of a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a terminal has shown.
pub(super) struct Terminal<'a> {
    server: &'a Device,
    directory: TempDir,
    shown: String,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(server: &'a Device) -> Result<Self> {
        Ok(Self { server, directory: tempfile::tempdir()?, shown: String::new() })
    }

    /// Runs a command until it exits.
    pub(super) fn run(&mut self, arguments: &[&str]) -> Result<()> {
        let output = self.prompt(arguments)?.output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        self.show(&String::from_utf8_lossy(&output.stdout))
    }

    /// Runs a command that attaches until `talk` has returned and a line matches `last`; then it gets a Ctrl-C.
    pub(super) fn run_while(
        &mut self,
        arguments: &[&str],
        last: &str,
        talk: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let output = self.directory.path().join("output");
        // Stdout and stderr in the order in which a terminal shows them.
        let file = File::options().append(true).create(true).open(&output)?;
        file.set_len(0)?;
        let mut command = self.prompt(arguments)?;
        command.args(["--color", "always"]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut process = Process::new("toa-tc", command.spawn()?);
        let shown = || fs::read_to_string(&output).context("the output");
        wait::until("toa-tc to attach", || Ok(shown()?.contains("attached to ").then_some(())))?;
        talk()?;
        let last = Regex::new(last)?;
        wait::until("the last line", || Ok(last.is_match(&shown()?).then_some(())))?;
        let before = shown()?;
        process.signal(Signal::Interrupt)?;
        let status = process.wait(PATIENCE)?;
        let all = shown()?;
        ensure!(status.success(), "{arguments:?}: {status}: {all}");
        let after = all.strip_prefix(&before).context("the output has changed")?;
        self.show(&format!("{before}^C\n{after}"))
    }

    /// Returns what it has shown.
    pub(super) fn into_shown(self) -> String {
        self.shown
    }

    /// Shows a command line, and returns the command.
    fn prompt(&mut self, arguments: &[&str]) -> Result<Command> {
        if !self.shown.is_empty() {
            self.shown.push('\n');
        }
        push_fmt(&mut self.shown, format_args!("\x1b[1m$ sudo toa-tc {}\x1b[0m\n", arguments.join(" ")));
        let mut command = self.server.namespace.command(toa_tc::binary()?);
        command.args(arguments).env("TZ", "UTC").env("TERM", "xterm-256color");
        Ok(command)
    }

    /// Shows an output, without what is only this host's: the suffix of its kernel's version.
    fn show(&mut self, output: &str) -> Result<()> {
        let kernel = Regex::new(r"(?m)^(ok +kernel: \d+\.\d+)\S*")?;
        self.shown.push_str(&kernel.replace(output, "$1"));
        Ok(())
    }
}
