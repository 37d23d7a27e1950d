//! Follows open connections whose clients the balancer's table names: at the start, and whenever rules are added.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use anyhow::Result;
use toa_common::{
    address::Client,
    attribution::{Attribution, LearnedFrom},
    config::Config,
};
use toa_userspace::{
    address::to_address,
    live::{
        host::sock_diag::{Established, SockDiag},
        maps::watch::Watch,
        runs::pins::Pins,
    },
    print::count::Count,
    rule::balancers::Balancers,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    super::balancer_table::BalancerTable,
    existing::{SharedFlows, follow_client},
};
use crate::stderr;

/// How often to check whether rules were added.
const INTERVAL: Duration = Duration::from_millis(200);

/// A table that was not read yet, and what is needed to follow the connections that it names.
pub(crate) struct TableConnections {
    pub(crate) table: BalancerTable,
    pub(crate) watch: Arc<Watch>,
    pub(crate) shared: Arc<SharedFlows>,
    pub(crate) config: Box<Config>,
    pub(crate) balancers: Balancers,
}

/// The connections that the table names. Those that end are not replaced by later ones with the same 4-tuple.
struct Named {
    connections: Vec<(Established, Client)>,
    sockets: SockDiag,
    watch: Arc<Watch>,
    shared: Arc<SharedFlows>,
}

impl TableConnections {
    /// Reads the table, follows what the rules watch, and reports that.
    fn read(self) -> Result<Named> {
        let Self { table, watch, shared, config, balancers } = self;
        let mut sockets = SockDiag::new()?;
        let found = table.name_connections(&mut sockets, false, |connection| {
            config.serves(connection.server().port().to_be())
                && balancers.trusts(to_address(connection.peer().ip()))
        })?;
        let connections = found.iter().filter_map(|(connection, client)| {
            let client = client.ok()?;
            let client = Client { address: to_address(client.ip()), port_be: client.port().to_be() };
            Some((connection.clone(), client))
        });
        let mut named = Named { connections: connections.collect(), sockets, watch, shared };
        let begun = Count(named.follow()?);
        let total = Count(found.len() as u64);
        stderr::note(format_args!("open connections: following {begun} of {total} ({})", found.tally()));
        found.report();
        Ok(named)
    }
}

impl Named {
    /// Follows those connections that a rule watches, that are still open, and that are not followed yet. Returns how
    /// many these are.
    fn follow(&mut self) -> Result<u64> {
        let Self { connections, sockets, watch, shared } = self;
        let mut begun = 0;
        for (connection, client) in connections {
            let attribution = Attribution::from_outside(client, LearnedFrom::Table);
            let is_new = follow_client(connection, &attribution, sockets, watch, shared)?;
            begun += u64::from(is_new);
        }
        Ok(begun)
    }
}

/// Follows the connections that the table names, also whenever rules were added.
pub(crate) async fn follow_table(table: Option<TableConnections>, pins: Option<&Pins>) -> Infallible {
    let Some(table) = table else {
        return pending().await;
    };
    let additions = || pins.and_then(|pins| pins.info().ok()).map_or(0, |info| info.rule_additions);
    let mut known_additions = additions();
    // It fails only when the runtime shuts down.
    let Ok(read) = spawn_blocking(|| table.read()).await else {
        return pending().await;
    };
    let mut named = match read {
        Ok(named) => named,
        Err(error) => {
            stderr::error(format_args!("cannot follow open connections: {error:#}"));
            return pending().await;
        }
    };
    loop {
        while additions() == known_additions {
            sleep(INTERVAL).await;
        }
        known_additions = additions();
        let again = spawn_blocking(move || {
            let begun = named.follow();
            (named, begun)
        });
        let Ok((same, begun)) = again.await else {
            return pending().await;
        };
        named = same;
        match begun {
            Ok(0) => {}
            Ok(begun) => stderr::note(format_args!("open connections: following {} more", Count(begun))),
            Err(error) => stderr::error(format_args!("cannot follow all open connections: {error:#}")),
        }
    }
}
