//! The command `flows`: shows the connections that are followed.

mod connections;
mod existing;
mod row;

use anyhow::Result;
use serde::Serialize;
use toa_common::attribution::LearnedFrom;
use toa_common::limits::SHORT_LINGER_NS;
use toa_userspace::{
    address::{ClientAddress, OrUnknown},
    live::{
        host::{clock, namespace},
        maps::flows::FollowedFlow,
        runs::Run,
    },
    print::{
        json::value::{Endpoint, PeerNetwork, Toa},
        push_fmt,
        table::table,
    },
    rule::matcher::Matcher,
};

use super::{balancer_table::BalancerTable, find_runs, leftovers::remove_pins};
use crate::{
    cli::{existing::Existing, flows::FlowsArgs, run::ReportFormat},
    error::{NothingFound, UsageError},
    format::{json, span, utc},
    printer::print,
};

#[derive(Serialize)]
struct Flow {
    pid: u32,
    /// The real client, if a packet or a socket named it.
    client: Option<ClientAddress>,
    network: PeerNetwork,
    server: Endpoint,
    toa: Option<Toa>,
    /// When the connection's client was learned.
    since: String,
    age_ns: u64,
    idle_ns: u64,
    packets: u64,
    bytes: u64,
    /// Whether a FIN or RST was seen.
    ended: bool,
}

impl Flow {
    fn new(run: &Run, followed: &FollowedFlow, now_ns: u64) -> Self {
        let flow = &followed.flow;
        Self {
            pid: run.info.pid,
            client: followed.client(),
            network: PeerNetwork { peer: followed.peer().into() },
            server: followed.server().into(),
            toa: Toa::new(&flow.attribution),
            since: utc(flow.generation),
            age_ns: now_ns.saturating_sub(flow.generation),
            idle_ns: now_ns.saturating_sub(flow.last_ns),
            packets: flow.packets,
            bytes: flow.payload_bytes,
            ended: flow.ended_ns != 0,
        }
    }
}

/// Runs the command. Exit code 3 if it shows no connection.
pub(crate) fn run(args: &FlowsArgs) -> Result<()> {
    // Opened before the namespace changes, as for `attach`.
    let table = args.connections.as_deref().map(BalancerTable::open).transpose()?;
    if let Some(name) = &args.netns {
        namespace::enter(name)?;
    }
    if let Some(existing) = args.existing {
        return existing::run(&args.rules, existing == Existing::Force, args.output);
    }
    if let Some(table) = table {
        return connections::run(&args.rules, table, args.output);
    }
    let mut runs = find_runs(&args.run.pins)?;
    remove_pins(&mut runs);
    let picked = runs.selected(&args.run.selector());
    if picked.is_empty() {
        return Err(args.run.no_match(&runs));
    }
    if args.without_toa && picked.iter().all(|run| !run.info.follows_any()) {
        let message =
            "connections without TOA are followed by attach --any-flow only, and none is running here";
        return Err(UsageError(message.to_owned()).into());
    }
    let watched = Matcher::new(&args.rules);
    let is_wanted = |followed: &FollowedFlow| {
        let is_watched = || followed.client().is_some() && watched.watches(&followed.flow.attribution);
        args.rules.is_empty() || is_watched()
    };
    let which = match () {
        () if args.without_toa => " without TOA",
        () if !args.rules.is_empty() => " of these clients",
        () => "",
    };
    let (mut text, mut is_nothing) = (String::new(), true);
    for run in picked {
        let mut flows = run.flows()?.read()?;
        let now_ns = clock::monotonic_ns();
        flows.retain(|followed| {
            let is_shown = !args.without_toa || followed.client().is_none();
            is_shown && is_wanted(followed) && !followed.flow.has_lingered(now_ns, SHORT_LINGER_NS)
        });
        is_nothing &= flows.is_empty();
        match args.output {
            ReportFormat::Json => {
                for followed in &flows {
                    text.push_str(&json(&Flow::new(run, followed, now_ns))?);
                }
            }
            ReportFormat::Text => lines(&mut text, run, &flows, which, now_ns),
        }
    }
    print(&text)?;
    Ok(NothingFound::check(is_nothing)?)
}

fn lines(text: &mut String, run: &Run, flows: &[FollowedFlow], which: &str, now_ns: u64) {
    let ended = flows.iter().filter(|followed| followed.flow.ended_ns != 0).count();
    push_fmt(text, format_args!("{run}: {} followed{which}", flows.len().saturating_sub(ended)));
    if ended > 0 {
        push_fmt(text, format_args!(", {ended} ended"));
    }
    text.push('\n');
    if flows.is_empty() {
        return;
    }
    let head = ["client", "balancer", "server", "age", "idle", "packets", "bytes", "learned", "state"];
    let rows = flows.iter().map(|followed| {
        let flow = &followed.flow;
        let learned_from = flow.attribution.learned_from().filter(|_| flow.attribution.is_named());
        let learned_from = learned_from.map_or("-", LearnedFrom::name);
        [
            OrUnknown(followed.client()).to_string(),
            followed.peer().to_string(),
            followed.server().to_string(),
            span(now_ns.saturating_sub(flow.generation)),
            span(now_ns.saturating_sub(flow.last_ns)),
            flow.packets.to_string(),
            flow.payload_bytes.to_string(),
            match flow.attribution.toa() {
                None => learned_from.to_owned(),
                Some((kind, length)) => format!("{learned_from} {kind}:{length}"),
            },
            if flow.ended_ns == 0 { "open" } else { "ended" }.to_owned(),
        ]
    });
    table(text, "  ", &head, rows);
}
