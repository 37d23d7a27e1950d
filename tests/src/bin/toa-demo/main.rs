//! The demo of `cargo xtask demo`: which clients send requests through a load balancer, as the server sees it
//! and as toa-tc does. The variable `TOA_TC` names the binary to show.

mod keep;
mod story;

use std::{env, fs, os::unix::fs::MetadataExt, process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result};
use toa_tests::lab::mounts;

/// Timeout of the demo.
const LIMIT: Duration = Duration::from_secs(15);

/// Exit code for usage errors and for users other than root.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("usage: toa-demo [--keep]");
            return ExitCode::from(USAGE);
        }
    };
    match is_root() {
        Ok(true) => {}
        Ok(false) => {
            eprintln!("error: the demo needs root, for network namespaces and eBPF (try sudo)");
            return ExitCode::from(USAGE);
        }
        Err(error) => return failed(&error),
    }
    match mounts::with_bpf_file_system(|| run(keep)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self").context("cannot read /proc")?.uid() == 0)
}

fn run(keep: bool) -> Result<()> {
    let in_time = limit();
    let stage = story::Stage::new()?;
    story::tell(&stage)?;
    drop(in_time);
    if keep { keep::keep(&stage) } else { Ok(()) }
}

/// Exits the process after the limit unless the returned value is dropped first. Its children end with it.
fn limit() -> mpsc::Sender<()> {
    let (told, in_time) = mpsc::channel::<()>();
    thread::spawn(move || {
        if in_time.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("error: the demo did not end within {LIMIT:?}");
            std::process::exit(1);
        }
    });
    told
}
