//! Responsible for the command `flows`. Not responsible for the map.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use serde::Serialize;
use toa_userspace::{
    client::ClientAddress,
    live::{clock, flows::Followed, runs::Run},
};

use super::{Output, PickArgs, find, json, print, span, utc};

/// Options of `flows`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    pick: PickArgs,

    /// How they are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Serialize)]
struct Flow {
    pid: u32,
    client: ClientAddress,
    network: Network,
    server: Endpoint,
    toa: Toa,
    /// When it was learned.
    since: String,
    age_ns: u64,
    idle_ns: u64,
    packets: u64,
    bytes: u64,
    /// Whether a FIN or RST was seen.
    ended: bool,
}

#[derive(Serialize)]
struct Endpoint {
    address: IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct Network {
    peer: Endpoint,
}

#[derive(Serialize)]
struct Toa {
    kind: u8,
    length: u8,
    learned_from: &'static str,
    ambiguous: bool,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: address.port() }
    }
}

impl Flow {
    fn new(run: &Run, followed: &Followed, now_ns: u64) -> Self {
        let flow = &followed.flow;
        Self {
            pid: run.info.pid,
            client: followed.client(),
            network: Network { peer: followed.peer().into() },
            server: followed.server().into(),
            toa: Toa {
                kind: flow.toa_kind,
                length: flow.toa_length,
                learned_from: followed.learned_from(),
                ambiguous: followed.is_ambiguous(),
            },
            since: utc(flow.generation),
            age_ns: now_ns.saturating_sub(flow.generation),
            idle_ns: now_ns.saturating_sub(flow.last_ns),
            packets: flow.packets,
            bytes: flow.payload_bytes,
            ended: flow.ended_ns != 0,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runs = find()?;
    let picked = runs.picked(&args.pick.pick());
    if picked.is_empty() {
        return Err(args.pick.nothing(&runs));
    }
    let mut text = String::new();
    for run in picked {
        let mut flows = run.flows()?.read()?;
        let now_ns = clock::monotonic_ns();
        flows.retain(|followed| followed.is_current(now_ns));
        match args.output {
            Output::Json => {
                for followed in &flows {
                    text.push_str(&json(&Flow::new(run, followed, now_ns))?);
                }
            }
            // Memory does not refuse.
            Output::Text => _ = table(&mut text, run, &flows, now_ns),
        }
    }
    print(&text)
}

fn table(text: &mut String, run: &Run, flows: &[Followed], now_ns: u64) -> std::fmt::Result {
    writeln!(text, "{run}: {} followed", flows.len())?;
    if flows.is_empty() {
        return Ok(());
    }
    let head = ["client", "balancer", "server", "age", "idle", "packets", "bytes", "learned", "state"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(flows.iter().map(|followed| {
        let flow = &followed.flow;
        [
            followed.client().to_string(),
            followed.peer().to_string(),
            followed.server().to_string(),
            span(now_ns.saturating_sub(flow.generation)),
            span(now_ns.saturating_sub(flow.last_ns)),
            flow.packets.to_string(),
            flow.payload_bytes.to_string(),
            format!("{} {}:{}", followed.learned_from(), flow.toa_kind, flow.toa_length),
            if flow.ended_ns == 0 { "open" } else { "ended" }.to_owned(),
        ]
    }));
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(text, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
