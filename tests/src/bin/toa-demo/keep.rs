//! Keeps the lab up and prints commands to try in it.

use std::process;

use anyhow::{Context, Result};
use toa_tests::{lab::balancer::SERVICE, tool::toa_tc};
use tokio::signal::unix::{SignalKind, signal};

use crate::story::{FIRST, SECOND, Stage};

/// Prints the commands and waits for a signal.
pub(crate) fn keep(stage: &Stage) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("listening to signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("listening to signals")?;
        let mut hangup = signal(SignalKind::hangup()).context("listening to signals")?;
        explain(stage)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}

fn explain(stage: &Stage) -> Result<()> {
    let tool = toa_tc::binary()?;
    // The BPF file system, which has the pins, is mounted in this thread's mount namespace.
    // SAFETY: the call takes no arguments and cannot fail.
    let thread = unsafe { libc::gettid() };
    let mounts = format!("--mount=/proc/{}/task/{thread}/ns/mnt", process::id());
    let server = format!("nsenter --net={} {mounts}", stage.lab.server.namespace.path().display());
    let clients = format!("nsenter --net={}", stage.lab.clients.namespace.path().display());
    let (tool, device) = (tool.display(), &stage.lab.server.name);
    println!("\nThe lab stays up. In other terminals, as root:\n");
    println!(
        "  # on the server: print what one client asks\n  {server} {tool} attach {device} --ip {}\n",
        FIRST.address
    );
    for (what, client) in [("as that client", &FIRST), ("as another one", &SECOND)] {
        println!(
            "  # {what}\n  {clients} curl --interface {} -H 'x-team: {}' http://{SERVICE}/hello\n",
            client.address, client.team
        );
    }
    println!("  # watch the other one, too, while it runs\n  {server} {tool} watch add {}\n", SECOND.address);
    println!("Ctrl-C here ends it, and nothing of it remains.");
    Ok(())
}
