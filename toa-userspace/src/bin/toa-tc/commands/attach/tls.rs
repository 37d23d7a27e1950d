//! The probes that read the plaintext of TLS connections.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use log::debug;
use toa_common::config::Config;
use toa_userspace::live::{
    program::load::Loaded,
    tls::{
        Learning, Probes, rights,
        servers::{self, Library, Server, Servers},
    },
};
use tokio::time::sleep_until;

use crate::{cli::tls::TlsServer, stderr};

/// How long the connections of older TLS objects are learned: longer than servers usually keep an idle connection open
/// (nginx: `keepalive_timeout`, 75 s).
const LEARNING: Duration = Duration::from_secs(120);

/// The attached probes.
pub(super) struct Plaintext {
    _probes: Probes,
    learning: Option<(Learning, Instant)>,
}

/// Libraries to attach to, each with who uses it.
pub(super) type Found = BTreeMap<(u64, u64), (Library, Vec<String>)>;

/// Finds the TLS libraries. Fails if there are none.
pub(super) fn find(server: &TlsServer, config: &Config) -> Result<Found> {
    rights::check().context("--tls")?;
    let mut found = Found::new();
    match server {
        TlsServer::Process(pid) => {
            let library = servers::of_process(*pid).with_context(|| format!("--tls: process {pid}"))?;
            found.insert(library.id, (library, vec![format!("process {pid}")]));
        }
        TlsServer::File(path) => {
            let library = servers::of_file(path).with_context(|| format!("--tls: {}", path.display()))?;
            found.insert(library.id, (library, Vec::new()));
        }
        TlsServer::Listening => {
            let Servers { servers, refused } = servers::servers(config)?;
            let mut reasons = Vec::new();
            for Server { pid, name, library, .. } in servers {
                let name = format!("{name} (process {pid})");
                match library {
                    Ok(library) => found.entry(library.id).or_insert((library, Vec::new())).1.push(name),
                    Err(reason) => reasons.push(format!("{name} {reason}")),
                }
            }
            let missing: Vec<_> = rights::missing_to_look().iter().map(ToString::to_string).collect();
            if found.is_empty() && reasons.is_empty() && refused > 0 && !missing.is_empty() {
                let missing = missing.join(" and ");
                bail!(
                    "--tls: no server is found, and some processes cannot be looked into ({missing} missing): use --tls=PATH"
                );
            }
            if found.is_empty() && reasons.is_empty() {
                bail!(
                    "--tls: no process listens on the servers' ports: start the server first, or use --tls=PATH"
                );
            }
            if found.is_empty() {
                bail!("--tls: the plaintext of no server can be read: {}", reasons.join("; "));
            }
            for reason in &reasons {
                debug!("no plaintext: {reason}");
            }
        }
    }
    Ok(found)
}

/// Attaches to the libraries. If connections that are open already are to be followed, also learns those of older TLS
/// objects.
pub(super) fn attach(loaded: &mut Loaded, found: &Found, is_old_followed: bool) -> Result<Plaintext> {
    // First, so that no object is between the two.
    let learning = is_old_followed.then(|| Learning::begin(loaded)).transpose()?;
    let mut probes = Probes::default();
    for (library, users) in found.values() {
        probes.attach(loaded, library)?;
        let users = match &users[..] {
            [] => String::new(),
            [user] => format!(" of {user}"),
            [user, others @ ..] => format!(" of {user} and {} more", others.len()),
        };
        stderr::note(format_args!("reading TLS plaintext{users} in {}", library.name));
    }
    Ok(Plaintext {
        _probes: probes,
        learning: learning.map(|learning| (learning, Instant::now() + LEARNING)),
    })
}

/// Ends learning when its time is over.
pub(super) async fn end_learning(plaintext: Option<&mut Plaintext>) -> Infallible {
    if let Some(Plaintext { learning, .. }) = plaintext
        && let Some((_, until)) = learning
    {
        sleep_until((*until).into()).await;
        *learning = None;
    }
    pending().await
}
