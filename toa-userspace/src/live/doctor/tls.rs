//! Checks of which servers the plaintext of TLS connections can be read.

use std::collections::{BTreeMap, BTreeSet};

use toa_common::config::Config;

use super::check::{Check, State, check, last_source};
use crate::{
    error_chain::ErrorChain,
    live::{
        program::load::{LoadOptions, Loaded},
        tls::{
            Probes,
            layout::layout,
            rights,
            servers::{self, Servers},
        },
    },
};

const NAME: &str = "tls";

/// Most processes of a server that are listed.
const MAX_LISTED: usize = 3;

/// Checks whether the plaintext programs can be loaded, and each server.
pub(super) fn checks() -> Vec<Check> {
    let rights = programs();
    let Servers { servers, refused } = match servers::servers(&Config::DEFAULT) {
        Ok(servers) => servers,
        Err(error) => {
            return vec![rights, check(NAME, State::Warn, ErrorChain(&error).to_string(), None)];
        }
    };
    let mut groups = BTreeMap::<_, (Vec<u32>, BTreeSet<u16>)>::new();
    for server in servers {
        let found = match &server.library {
            Ok(library) => format!("can be read, in {}", library.name),
            Err(reason) => format!("cannot be read: {reason}"),
        };
        let (processes, ports) = groups.entry((server.name, found)).or_default();
        processes.push(server.pid);
        ports.extend(server.ports);
    }
    let line = |((name, found), (processes, ports)): ((String, String), (Vec<u32>, BTreeSet<u16>))| {
        let (processes, ports) = (listed(processes), listed(ports));
        check(NAME, State::Ok, format!("{name} (process {processes}; port {ports}): {found}"), None)
    };
    [rights].into_iter().chain(hidden(refused)).chain(groups.into_iter().map(line)).collect()
}

/// Checks whether we may, and whether the kernel accepts the programs.
fn programs() -> Check {
    let advice = "attach works, but without --tls";
    if let Err(error) = rights::check() {
        return check(NAME, State::Warn, error.to_string(), Some(advice));
    }
    let layout = match layout() {
        Ok(layout) => layout,
        Err(error) => return check(NAME, State::Warn, ErrorChain(&error).to_string(), Some(advice)),
    };
    let options = LoadOptions { plaintext: Some(layout), ..LoadOptions::default() };
    match Loaded::new([], &options).and_then(|mut loaded| Probes::load(&mut loaded)) {
        Ok(()) => check(NAME, State::Ok, "the kernel accepts the programs of --tls", None),
        Err(error) => {
            let found = format!("{error}: {}", last_source(&error));
            check(NAME, State::Warn, found, Some(advice))
        }
    }
}

/// Says that there are processes into which we may not look, if that is for want of a capability. Others protect
/// themselves, or are ending.
fn hidden(refused: u64) -> Option<Check> {
    let missing = listed(rights::missing_to_look());
    (refused > 0 && !missing.is_empty()).then(|| {
        let found = format!("some processes cannot be looked into ({refused}); servers may be among them");
        check(NAME, State::Warn, found, Some(&format!("needs {missing}")))
    })
}

/// Returns the first items of a list.
fn listed(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    let first = items.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed([1, 2, 3]), "1, 2, 3");
        assert_eq!(listed([1, 2, 3, 4, 5]), "1, 2, 3 and 2 more");
    }
}
