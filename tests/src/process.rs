//! Child processes that are stopped when a test ends.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::wait;

/// How long a process may take to exit on a signal before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A signal to a process. Most ask it to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGINT, as sent by Ctrl-C.
    Interrupt,
    /// SIGTERM, as sent by `kill`.
    Terminate,
    /// SIGALRM, as sent to `timeout` when the time is over.
    Alarm,
    /// SIGHUP, as sent when a terminal is closed.
    Hangup,
    /// SIGQUIT, as sent by `Ctrl-\`; nginx finishes its current requests.
    Quit,
    /// SIGKILL, which cannot be caught.
    Kill,
    /// SIGSTOP, which stops a process until it gets [`Signal::Continue`].
    Stop,
    /// SIGCONT.
    Continue,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Alarm => libc::SIGALRM,
            Self::Hangup => libc::SIGHUP,
            Self::Quit => libc::SIGQUIT,
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
        }
    }

    /// Sends it to a process that this one has started, and that has not ended.
    pub fn send(self, process: u32) -> Result<()> {
        // SAFETY: the call takes only integers.
        if unsafe { libc::kill(libc::pid_t::try_from(process)?, self.number()) } != 0 {
            return Err(std::io::Error::last_os_error()).context("kill");
        }
        Ok(())
    }
}

/// A child that is stopped when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Takes ownership of `child`.
    pub fn new(name: &str, child: Child) -> Self {
        Self { child, name: name.to_owned() }
    }

    /// Returns the child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its status if it has exited.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal unless it has exited.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.status()?.is_none() {
            // The id is still the child's, which has not been reaped.
            signal.send(self.child.id())?;
        }
        Ok(())
    }

    /// Waits at most `patience` for it to exit.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        wait::within(patience, &what, || Ok(child.try_wait()?))
    }

    /// Sends a signal and waits for it to exit.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        self.wait(GRACE)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.stop(Signal::Terminate).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Returns the processes that the threads of a process have started.
pub fn children(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let list = fs::read_to_string(thread?.path().join("children"))?;
        children.extend(list.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?);
    }
    Ok(children)
}

/// Formats a status for messages: the exit code or the signal number.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_ends_on_the_signal_it_gets() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut process = Process::new("sleep", child);
        assert_eq!(process.status().unwrap(), None);
        // Not SIGINT: a shell that starts the tests in the background makes them and their children ignore
        // it.
        let status = process.stop(Signal::Terminate).unwrap();
        assert_eq!(describe(status), format!("signal {}", libc::SIGTERM));
        assert!(process.stop(Signal::Kill).is_ok());
    }
}
