//! Responsible for network namespaces, and for running code and commands in them. Not responsible for what
//! is in them: see [`crate::lab::veth`].
//!
//! A namespace has no name. It lives as long as something holds it: this process a descriptor, a child by
//! running in it. So none is left behind, however a test ends, and no two tests ever meet.

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

/// A network namespace. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// Makes a namespace with nothing but a working loopback device.
    pub fn new() -> Result<Self> {
        let file = thread::spawn(|| -> Result<File> {
            // SAFETY: shares its descriptors as before; changes this thread only, which ends right after.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("making a network namespace")?;
            File::open(OWN).context(OWN)
        })
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that makes a namespace panicked"))??;
        let namespace = Self { file: Arc::new(file) };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A path that leads here for as long as this process holds the namespace: for `ip link … netns PATH`.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd()).into()
    }

    /// Runs `work` in the namespace, on a thread of its own. A panic in it goes on in the caller.
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

    /// A command that will run in the namespace. It is asked to end when the thread that starts it does, so
    /// that nothing survives a test that is killed.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        let prepare = move || {
            enter(&file)?;
            Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
        };
        // SAFETY: between fork and exec, `prepare` makes two system calls and neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        command
    }

    /// Runs a command in the namespace to its end and returns its output. It must succeed.
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

    /// The kernel's number for the namespace, by which BPF programs know it.
    pub fn cookie(&self) -> Result<u64> {
        let socket = self.run(|| Ok(std::net::UdpSocket::bind("127.0.0.1:0")?))?;
        let mut cookie = 0_u64;
        let mut length = libc::socklen_t::try_from(size_of::<u64>())?;
        // SAFETY: both pointers are to locals of the sizes that they say.
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

/// Moves the calling thread.
fn enter(namespace: &File) -> std::io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn check(result: libc::c_int) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
