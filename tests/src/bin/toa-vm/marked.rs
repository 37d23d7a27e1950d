//! Connections that carried an option which the kernel does not know.

use std::{fs, net::TcpListener};

use anyhow::{Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    tool::commands::objects,
};

const MARKED: u16 = 6;
const UNMARKED: usize = 4;

/// Opens marked and unmarked connections, with and without timestamps, and checks what the tool knows of them.
pub(crate) fn check() -> Result<()> {
    for timestamps in ["1", "0"] {
        let mut lab = Lab::new(Habit::Early)?;
        for namespace in [&lab.balancer.namespace, &lab.server.namespace] {
            namespace.run(|| Ok(fs::write("/proc/sys/net/ipv4/tcp_timestamps", timestamps)?))?;
        }
        let listener = lab.server.namespace.run(|| Ok(TcpListener::bind(nginx_address())?))?;
        let client = |port| ([203, 0, 113, 9], port).into();
        let marked = (0..MARKED).map(|number| toa_option(client(50_000 + number)));
        let mut connections = Vec::new();
        for option in marked.map(Some).chain(std::iter::repeat_n(None, UNMARKED)) {
            let bound = lab.bind()?;
            if let Some(option) = &option {
                lab.marker.assign(bound.local(), option)?;
            }
            let port = bound.local().port();
            connections.push((port, option.is_some(), bound.connect(nginx_address())?, listener.accept()?));
        }
        let rows = objects(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
        ensure!(rows.len() == connections.len(), "{rows:?}");
        for (port, is_marked, ..) in &connections {
            let row = rows.iter().find(|row| row.pointer("/network/peer/port") == Some(&(*port).into()));
            let known = row.and_then(|row| row.get("saw_unknown")?.as_bool());
            ensure!(known == is_marked.then_some(true), "timestamps {timestamps}: {row:?}");
        }
    }
    Ok(())
}
