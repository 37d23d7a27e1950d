//! Checks what else is at the ingress hooks of interfaces, and what killed runs have left there.

use std::collections::{BTreeMap, HashSet};

use aya::util::KernelVersion;

use super::check::{Check, State, check, last_source};
use crate::live::{
    host::links::{self, Link},
    program::{
        attach::{NETLINK_PRIORITY, TCX},
        chain, filters, leftovers,
    },
    runs::{Runs, pin_directories::PinDirectories},
};

/// What removes what killed runs left.
const DETACH: &str = "toa-tc detach removes what killed runs left";

/// Checks which programs and filters run at each interface's ingress hook.
pub(super) fn hooks() -> Vec<Check> {
    let links = match links::list() {
        Ok(links) => links,
        Err(error) => {
            return vec![check("ingress chain", State::Warn, format!("cannot be seen: {error}"), None)];
        }
    };
    let has_tcx = KernelVersion::current().is_ok_and(|version| version >= TCX);
    let mut checks = Vec::new();
    if has_tcx {
        checks.extend(links.iter().map(chain));
    } else {
        checks.push(check("ingress chain", State::Ok, "no TCX, so no chain", None));
    }
    checks.extend(links.iter().filter_map(|link| earlier_filters(link, has_tcx)));
    checks
}

/// Checks which programs are in the TCX chain of an interface.
fn chain(Link { name: interface, index, .. }: &Link) -> Check {
    let name = "ingress chain";
    match chain::programs(*index) {
        Ok(programs) if programs.is_empty() => check(name, State::Ok, format!("{interface}: empty"), None),
        Ok(programs) => {
            let names: Vec<_> = programs.iter().map(|it| format!("{} (id {})", it.name, it.id)).collect();
            let names = names.join(", ");
            let found = format!("{interface}: {names}; the first runs first, and attach goes before it");
            check(name, State::Ok, found, None)
        }
        Err(error) => {
            let found = format!("{interface}: cannot be seen: {}", last_source(&error));
            check(name, State::Warn, found, Some("needs CAP_NET_ADMIN"))
        }
    }
}

/// Checks which filters of an interface run before a netlink filter of ours, if there are any.
fn earlier_filters(Link { name: interface, index, .. }: &Link, has_tcx: bool) -> Option<Check> {
    let name = "ingress filters";
    let mut filters = match filters::ingress(*index) {
        Ok(filters) => filters,
        Err(error) => {
            return Some(check(name, State::Warn, format!("{interface}: cannot be seen: {error}"), None));
        }
    };
    filters.retain(|filter| filter.priority < NETLINK_PRIORITY);
    if filters.is_empty() {
        return None;
    }
    filters.sort_by_key(|filter| filter.priority);
    let filters: Vec<_> =
        filters.iter().map(|it| format!("{} (priority {})", it.kind, it.priority)).collect();
    let found = format!("{interface}: before a netlink filter of toa-tc: {}", filters.join(", "));
    Some(if has_tcx {
        check(name, State::Ok, found, Some("only attach --netlink comes after them"))
    } else {
        let advice = format!(
            "packets that they drop, accept or redirect are hidden from toa-tc: see tc filter show dev {interface} ingress"
        );
        check(name, State::Warn, found, Some(&advice))
    })
}

/// Checks whether killed runs have left pins, or filters in the packet path.
pub(super) fn killed_runs() -> Check {
    let name = "killed runs";
    // If there is no BPF file system, another check says so.
    let runs = Runs::find(&PinDirectories::default()).unwrap_or_default();
    let living_maps: HashSet<u32> = runs.alive.iter().flat_map(|run| run.info.map_ids).collect();
    let filters = match leftovers::find(&living_maps) {
        Ok(filters) => filters,
        Err(error) => {
            let found = format!("their filters cannot be seen: {error}");
            return check(name, State::Warn, found, Some("needs root"));
        }
    };
    let mut counts = BTreeMap::<&str, usize>::new();
    for filter in &filters {
        *counts.entry(filter.interface.as_str()).or_default() += 1;
    }
    let filters =
        counts.into_iter().map(|(interface, count)| format!("{} on {interface}", number(count, "filter")));
    let pins = (runs.killed() > 0).then(|| format!("the pins of {}", number(runs.killed(), "run")));
    let left: Vec<_> = filters.chain(pins).collect();
    if left.is_empty() {
        check(name, State::Ok, "nothing left by them", None)
    } else {
        check(name, State::Warn, format!("left by them: {}", left.join(", ")), Some(DETACH))
    }
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
