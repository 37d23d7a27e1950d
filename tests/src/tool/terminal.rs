//! Runs the tool on a terminal, from a shell, and interprets what it writes there.

use std::{
    fs::File, num::NonZeroU16, os::fd::OwnedFd, os::unix::process::CommandExt as _, path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, read, write},
    process::{ioctl_tiocsctty, setsid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use vt100::{Parser, Screen};

use super::toa_tc::binary;
use crate::{
    lab::netns::Namespace,
    process::{Process, Signal, children},
    wait,
};

/// Rows that have left the screen and are kept.
const SCROLLBACK: usize = 2000;

/// Runs the tool, says how it has ended, and then waits as a shell does. The terminal signals `^C` to both.
const SHELL: &str = r#"trap : INT; "$@"; echo "exit code $?"; read -r line"#;

/// Runs its arguments with stdout in a file, whose name comes before them.
const STORING: &str = r#"exec "$@" > "$0""#;

/// What the shell says at the end.
const END: &str = "exit code ";

/// A terminal with the tool in it.
pub struct Terminal {
    master: OwnedFd,
    /// Keeps the terminal open.
    _slave: File,
    parser: Parser,
    shell: Process,
    /// Whether lines are edited, keys echoed, and signals sent, before the tool has started.
    modes: LocalModes,
}

/// What was on the terminal when the tool had ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// The lines before the exit code, with those that have left the screen.
    pub lines: Vec<String>,
}

impl Terminal {
    /// Starts the tool on a terminal with this number of columns and rows.
    pub fn start(namespace: &Namespace, size: (u16, u16), arguments: &[&str]) -> Result<Self> {
        Self::start_through(namespace, size, &[], arguments)
    }

    /// Like [`Self::start`], but with stdout in a file.
    pub fn start_storing(
        namespace: &Namespace,
        size: (u16, u16),
        stdout: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let stdout = stdout.to_str().context("no text")?;
        Self::start_through(namespace, size, &["sh", "-c", STORING, stdout], arguments)
    }

    fn start_through(
        namespace: &Namespace,
        (columns, rows): (u16, u16),
        wrapper: &[&str],
        arguments: &[&str],
    ) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_string()?;
        let slave = File::options().read(true).write(true).open(name)?;
        set_size(&master, columns, rows)?;
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let mut command = namespace.command("sh");
        command
            .args(["-c", SHELL, "sh"])
            .args(wrapper)
            .arg(binary()?)
            .args(arguments)
            .env("TERM", "xterm-256color");
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(Stdio::from(slave.try_clone()?));
        let prepare = || {
            setsid()?;
            Ok(ioctl_tiocsctty(rustix::stdio::stdin())?)
        };
        // SAFETY: between fork and exec, `prepare` makes system calls and neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        let modes = tcgetattr(&master)?.local_modes;
        let shell = Process::new("a shell", command.spawn().context("starting a shell")?);
        let parser = Parser::new(size(rows)?, size(columns)?, SCROLLBACK);
        Ok(Self { master, _slave: slave, parser, shell, modes })
    }

    /// Reads what was written since the last call, and returns what the terminal shows.
    pub fn screen(&mut self) -> Result<&Screen> {
        let mut buffer = [0; 4096];
        loop {
            match read(&self.master, &mut buffer) {
                Ok(len) => self.parser.process(buffer.get(..len).unwrap_or_default()),
                Err(Errno::AGAIN) => return Ok(self.parser.screen()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("reading from the terminal"),
            }
        }
    }

    /// Returns the lines that the terminal shows, without spaces at their ends.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        let screen = self.screen()?;
        let (_, columns) = screen.size();
        Ok(screen.rows(0, columns.get()).map(|line| line.trim_end().to_owned()).collect())
    }

    /// Waits until the terminal shows lines of which `condition` is true. Returns them.
    pub fn wait_for(&mut self, what: &str, condition: impl Fn(&[String]) -> bool) -> Result<Vec<String>> {
        let found = wait::until(what, || {
            let lines = self.lines()?;
            Ok(condition(&lines).then_some(lines))
        });
        let shown = self.lines()?.join("\n");
        found.with_context(|| format!("the terminal shows:\n{shown}"))
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        write(&self.master, keys.as_bytes())?;
        Ok(())
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        self.screen()?;
        self.parser.set_size(size(rows)?, size(columns)?);
        set_size(&self.master, columns, rows)
    }

    /// Returns the process id of the tool.
    pub fn id(&self) -> Result<u32> {
        match children(self.shell.id())?[..] {
            [id] => Ok(id),
            ref other => bail!("not one child: {other:?}"),
        }
    }

    /// Sends the tool a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal.send(self.id()?)
    }

    /// Waits until the tool has ended. The terminal must be as it was before.
    pub fn wait(mut self) -> Result<Ended> {
        self.wait_for("the end of the tool", |lines| lines.iter().any(|line| line.starts_with(END)))?;
        let screen = self.screen()?;
        if screen.alternate_screen() || screen.hide_cursor() {
            bail!("the alternate screen is not left, or there is no cursor");
        }
        let modes = tcgetattr(&self.master)?.local_modes;
        if modes != self.modes {
            bail!("the modes were {:?} and are {modes:?}", self.modes);
        }
        let lines = self.all_lines()?;
        let end = lines.iter().position(|line| line.starts_with(END)).context("no exit code")?;
        let (before, rest) = lines.split_at(end);
        let code = rest.first().and_then(|line| line.strip_prefix(END)).context("no exit code")?;
        Ok(Ended { code: code.parse()?, lines: before.to_vec() })
    }

    /// Returns all lines, with those that have left the screen.
    fn all_lines(&mut self) -> Result<Vec<String>> {
        self.screen()?;
        let screen = self.parser.screen_mut();
        screen.set_scrollback(usize::MAX);
        let (rows, columns) = screen.size();
        let mut lines = Vec::new();
        for above in (1..=screen.scrollback()).rev() {
            screen.set_scrollback(above);
            lines.extend(screen.rows(0, columns.get()).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, columns.get()).take(rows.get().into()));
        Ok(lines.into_iter().map(|line| line.trim_end().to_owned()).collect())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The end of the shell alone may not end it: SIGHUP has another meaning for some runs.
        if let Ok(tool) = self.id() {
            let _ = Signal::Terminate.send(tool);
        }
    }
}

fn size(length: u16) -> Result<NonZeroU16> {
    NonZeroU16::new(length).context("no size")
}

fn set_size(master: &OwnedFd, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(master, size)?)
}
