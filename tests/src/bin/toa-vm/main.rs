//! The checks that every kernel must pass: it loads every program, these classify the tables of packets
//! correctly, and the tool follows connections. `cargo xtask vm` boots the kernels.

mod cable;
mod existing;
mod verified;

use std::{env, fs, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use toa_tests::differential::{Differential, tables};

/// Also tests what not every kernel supports: 802.1Q devices and kTLS.
const ALL: &str = "--all";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    ensure!(arguments.iter().all(|it| it == ALL), "usage: toa-vm [{ALL}]");
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?;
    let loaded = verified::run()?;
    println!("vm: {loaded} programs loaded on {}", kernel.trim());

    let vectors = tables::vectors(Differential::with_kernel).context("vectors")?;
    let versions = tables::versions(Differential::with_kernel).context("versions")?;
    let headers = tables::headers(Differential::with_kernel).context("headers")?;
    let flows = tables::flows(Differential::with_kernel).context("flows")?;
    let count = vectors + versions + headers + flows;
    println!("vm: {count} packets of tables read as they must be");

    let mode = cable::tool().context("the tool")?;
    println!("vm: attached ({mode}), followed a connection, left nothing");
    existing::follow().context("a connection that was open before")?;
    println!("vm: followed a connection that was open before");
    cable::tags().context("tags")?;
    println!("vm: tags are in the records");
    if arguments.is_empty() {
        println!("vm: 802.1Q devices and kTLS: not asked for");
    } else {
        cable::vlan_device().context("802.1Q device")?;
        println!("vm: frames of an 802.1Q device are followed on it and below it");
        existing::ktls().context("kTLS")?;
        println!("vm: a connection of kTLS is told by that");
    }
    Ok(())
}
