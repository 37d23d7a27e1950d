//! Explains once why nothing has matched.

use std::{convert::Infallible, future::pending, time::Duration};

use toa_common::config::Config;
use toa_userspace::{
    live::{
        maps::{clients::Clients, counters::Counters},
        program::attachments::InterfaceNames,
    },
    print::no_match::{NoMatch, Source},
};
use tokio::time::sleep;

use super::senders::describe_senders;
use crate::stderr;

/// How long to wait for a match before explaining why there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits, explains if nothing has matched, and then stays pending.
pub(crate) async fn report_no_match(
    counters: &Counters,
    clients: &Clients,
    names: &InterfaceNames,
    config: &Config,
) -> Infallible {
    sleep(PATIENCE).await;
    // Counters that cannot be read now cannot be read at the end either, where that is an error.
    if let Ok(snapshot) = counters.read() {
        let names = names.attached();
        let interfaces: Vec<_> = names.iter().map(AsRef::as_ref).collect();
        let source = Source::Interfaces(&interfaces, PATIENCE);
        let traffic = snapshot.traffic();
        let clients = clients.read().unwrap_or_default();
        if let Some(no_match) = NoMatch::new(&traffic, source, config.pairs(), &clients) {
            stderr::note(format_args!("{no_match}"));
            let has_none = traffic.tcp_packets > 0 && traffic.toa_packets == 0 && !config.follows_any();
            if has_none && let Some(senders) = describe_senders(config) {
                stderr::note(format_args!("{senders}"));
            }
        }
    }
    pending().await
}
