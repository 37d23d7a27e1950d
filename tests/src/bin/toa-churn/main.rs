//! A server of several processes, for tests of programs that inspect its sockets. Each worker accepts
//! connections, passes them on to the next worker, closes them, reuses their descriptor numbers, exits and is
//! replaced, as each request asks.
//!
//! This process keeps the given number of workers running until stdin ends. [`worker`] is what they do.

use std::{
    collections::HashMap,
    env,
    net::TcpListener,
    os::fd::OwnedFd,
    process::{ExitCode, exit},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::{Signal, WaitOptions, set_parent_process_death_signal, wait},
};

use crate::worker::{End, Worker};

mod decoys;
mod worker;

/// The exit code of a worker that must be replaced.
const REPLACE: i32 = 10;

/// What all workers inherit. Each keeps the ends of all others open, so that nothing in transit is lost when
/// one exits.
struct Inherited {
    listener: TcpListener,
    /// One socket pair per worker: the end for writing to it and the end that it reads.
    boxes: Vec<(OwnedFd, OwnedFd)>,
}

fn main() -> Result<ExitCode> {
    let [address, workers] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("usage: toa-churn ADDRESS WORKERS")?;
    let listener = TcpListener::bind(&address).with_context(|| format!("listening on {address}"))?;
    listener.set_nonblocking(true)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let boxes = (0..workers.parse()?)
        .map(|_| socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None))
        .collect::<Result<Vec<_>, _>>()?;
    let inherited = Inherited { listener, boxes };
    let mut running = HashMap::new();
    for number in 0..inherited.boxes.len() {
        running.insert(start(&inherited, number)?, number);
    }
    while !running.is_empty() {
        let (pid, status) = wait(WaitOptions::empty())?.context("no worker ended")?;
        let pid = pid.as_raw_nonzero().get();
        let number = running.remove(&pid).context("a process that is no worker")?;
        match status.exit_status() {
            Some(0) => {}
            Some(REPLACE) => {
                running.insert(start(&inherited, number)?, number);
            }
            _ => bail!("worker {number}: {status:?}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a worker and returns its process id.
fn start(inherited: &Inherited, number: usize) -> Result<libc::pid_t> {
    // SAFETY: this process has only one thread, so the child may run any code.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()).context("fork"),
        0 => exit(match work(inherited, number) {
            Ok(End::Replaced) => REPLACE,
            Ok(End::Finished) => 0,
            Err(error) => {
                eprintln!("worker {number}: {error:#}");
                1
            }
        }),
        pid => Ok(pid),
    }
}

fn work(inherited: &Inherited, number: usize) -> Result<End> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let Inherited { listener, boxes } = inherited;
    let (_, inbox) = boxes.get(number).context("no inbox")?;
    let (outbox, _) = boxes.get((number + 1) % boxes.len()).context("no outbox")?;
    Worker::new(listener, inbox, outbox, number % 2 == 1)?.run()
}
