//! Network namespaces, and running code and commands in them. [`crate::lab::veth`] has the devices.
//!
//! A namespace has no name. It lives as long as this process holds a descriptor for it or a child runs in it.
//! So no namespace is left, however a test ends, and tests cannot collide.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{self, Command},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// The calling thread's network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. Clones refer to the same one.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// Creates a namespace with only a loopback device, which is up.
    pub fn new() -> Result<Self> {
        let file = thread::spawn(|| -> Result<File> {
            // SAFETY: this leaves the descriptor table shared and changes only this thread, which ends right
            // after.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("making a network namespace")?;
            File::open(OWN).context(OWN)
        })
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that makes a namespace panicked"))??;
        let namespace = Self { file: Arc::new(file) };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Returns a path to the namespace for `ip link … netns PATH`, valid while this process holds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd()).into()
    }

    /// Runs `work` in the namespace on a new thread. A panic in it propagates to the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&self.file).context("entering a network namespace")?;
                    work()
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Returns a command that will run in the namespace. It gets SIGTERM when the thread that started it
    /// ends, so that no process outlives a killed test. It ignores no signal, even if the tests do because a
    /// shell started them in the background.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        let prepare = move || {
            enter(&file)?;
            for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
                // SAFETY: the call takes only integers.
                if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
        };
        // SAFETY: between fork and exec, `prepare` makes system calls and neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        command
    }

    /// Runs a command in the namespace and returns its output. It must succeed.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let shown = || format!("{program} {}", arguments.join(" "));
        let output = self.command(program).args(arguments).output().with_context(shown)?;
        if !output.status.success() {
            bail!("{}: {}: {}", shown(), output.status, String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `ip` in the namespace. It must succeed.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        self.output("ip", arguments)
    }

    /// Returns the namespace's cookie, by which BPF programs identify it.
    pub fn cookie(&self) -> Result<u64> {
        let socket = self.run(|| Ok(std::net::UdpSocket::bind("127.0.0.1:0")?))?;
        let mut cookie = 0_u64;
        let mut length = libc::socklen_t::try_from(size_of::<u64>())?;
        // SAFETY: both pointers refer to locals of the given sizes.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NETNS_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        check(result).context("SO_NETNS_COOKIE")?;
        ensure!(cookie != 0, "the kernel has no number for this network namespace");
        Ok(cookie)
    }
}

/// Moves the calling thread into a namespace.
fn enter(namespace: &File) -> std::io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn check(result: libc::c_int) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
