//! The checks that every kernel must pass: it loads every program, these classify the tables of packets
//! correctly, and the tool follows connections. `cargo xtask vm` boots the kernels.

mod cable;
mod cpus;
mod existing;
mod killed;
mod many;
mod marked;
mod module;
mod remember;
mod verified;

use std::{env, fs, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    differential::{Differential, tables},
    lab::mounts,
};

/// Also tests what not every kernel or machine supports: CPUs that go offline, 802.1Q devices, kTLS, and a kernel module.
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
    println!("vm: Linux {}", kernel.trim());
    let loaded = verified::run()?;
    println!("vm: {loaded} programs loaded");

    let vectors = tables::vectors(Differential::with_kernel).context("vectors")?;
    let versions = tables::versions(Differential::with_kernel).context("versions")?;
    let headers = tables::headers(Differential::with_kernel).context("headers")?;
    let flows = tables::flows(Differential::with_kernel).context("flows")?;
    let unnamed = tables::unnamed(Differential::with_kernel).context("any connection")?;
    let count = vectors + versions + headers + flows + unnamed;
    println!("vm: {count} packets of tables read as they must be");

    let mode = cable::tool().context("the tool")?;
    println!("vm: attached ({mode}), followed a connection, left nothing");
    existing::follow().context("a connection that was open before")?;
    println!("vm: followed a connection that was open before");
    marked::check().context("marked connections")?;
    println!("vm: told marked connections from others, with and without timestamps");
    remember::check().context("a client that is remembered")?;
    println!("vm: remembered clients, named them later, left nothing");
    let left = mounts::with_bpf_file_system(killed::check).context("killed runs")?;
    println!(
        "vm: nothing left of killed runs, {left} of which had left something; what others attached stays"
    );
    cable::tags().context("tags")?;
    println!("vm: tags are in the records");
    if arguments.is_empty() {
        println!("vm: CPUs, 802.1Q devices, kTLS and a TOA module: not asked for");
    } else {
        cpus::check().context("a CPU that comes and goes")?;
        println!("vm: a CPU that comes online, and goes and comes again, is read each time");
        cable::vlan_device().context("802.1Q device")?;
        println!("vm: frames of an 802.1Q device are followed on it and below it");
        existing::ktls().context("kTLS")?;
        println!("vm: a connection of kTLS is told by that");
        module::check().context("the memory of a TOA module")?;
        many::check().context("many connections")?;
    }
    Ok(())
}
