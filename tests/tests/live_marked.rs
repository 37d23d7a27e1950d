//! The kernel remembers of a connection that it carried an option that the kernel does not know. `flows --existing` and
//! `doctor` report it, and never the opposite.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use toa_packets::toa_option::{port_address_option, toa_option};
use toa_tests::{
    lab::{BALANCER, BALANCER_IPV6, Lab, SERVER, SERVER_IPV6, marker::Habit, toa_module::ToaModule},
    peers::client::{Bound, Connection, Request},
    tool::{
        commands::{object, objects},
        toa_tc::{self, ToaTc},
    },
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Enables or disables TCP timestamps. With them, every packet has options.
fn set_timestamps(lab: &Lab, are_on: bool) -> Result<()> {
    for namespace in [&lab.balancer.namespace, &lab.server.namespace] {
        namespace
            .run(|| Ok(fs::write("/proc/sys/net/ipv4/tcp_timestamps", u8::from(are_on).to_string())?))?;
    }
    Ok(())
}

/// Returns what the tool knows of each connection, by the balancer's side.
fn marked(lab: &Lab) -> Result<BTreeMap<SocketAddr, Value>> {
    let rows = objects(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
    let row = |row: &Value| {
        let address = row.pointer("/network/peer/address")?.as_str()?.parse().ok()?;
        let port = row.pointer("/network/peer/port")?.as_u64()?.try_into().ok()?;
        Some((SocketAddr::new(address, port), row.get("saw_unknown")?.clone()))
    };
    rows.iter().map(row).collect::<Option<_>>().context("no such row")
}

/// Returns what `doctor` found out about marked connections.
fn doctor(lab: &Lab) -> Result<(String, String)> {
    let report = object(&lab.server.namespace, &["doctor", "-o", "json"])?;
    let checks = report.get("checks").and_then(Value::as_array).context("no checks")?;
    let is_it = |check: &&Value| check.get("name").is_some_and(|name| name == "marked connections");
    let check = checks.iter().find(is_it).context("no such check")?;
    let text = |field: &str| check.get(field).and_then(Value::as_str).map(str::to_owned).context("no text");
    Ok((text("state")?, text("found")?))
}

#[test]
fn marked_connections_are_told_from_others() -> Result<()> {
    let options: [&[u8]; 3] =
        [&toa_option(CLIENT.into()), &port_address_option(200, CLIENT.into()), &[253, 4, 1, 2]];
    for (has_timestamps, is_ipv6) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut lab = Lab::new(Habit::Early)?;
        set_timestamps(&lab, has_timestamps)?;
        let _nginx = lab.nginx()?;
        let (mut connections, mut expected) = (Vec::new(), BTreeMap::new());
        let mut add = |mut connection: Connection, is_marked| -> Result<()> {
            // The traffic after the mark does not remove it.
            (0..20).try_for_each(|_| connection.ask(Request::get("/")))?;
            expected.insert(connection.local(), if is_marked { Value::Bool(true) } else { Value::Null });
            connections.push(connection);
            Ok(())
        };
        for number in 0..30 {
            let connection = lab.connect_over(is_ipv6, options[number % options.len()])?;
            add(connection, true)?;
        }
        for _ in 0..20 {
            add(unmarked(&lab, is_ipv6)?, false)?;
        }
        let what = format!("timestamps: {has_timestamps}, IPv6: {is_ipv6}");
        assert_eq!(marked(&lab)?, expected, "{what}");
        let total =
            "30 of 50 connections came through something that marks TCP options; not known of the others";
        let said = ToaTc::run(&lab.server.namespace, &["flows", "--existing"])?.succeeded()?;
        assert_eq!(said.stderr.lines().nth(1), Some(format!("toa-tc: {total}").as_str()), "{what}");
        let rows = said.stdout.lines().filter(|line| line.split_ascii_whitespace().any(|cell| cell == "yes"));
        assert_eq!(rows.count(), 30, "{what}: {}", said.stdout);
        let found = total.replace("50", "50 open");
        assert_eq!(doctor(&lab)?, ("ok".to_owned(), found), "{what}");
    }
    Ok(())
}

/// Opens a connection without an option from the balancer.
fn unmarked(lab: &Lab, is_ipv6: bool) -> Result<Connection> {
    if is_ipv6 {
        let bound = Bound::new(&lab.balancer.namespace, (BALANCER_IPV6, 0).into())?;
        bound.connect((SERVER_IPV6, 80).into())
    } else {
        lab.bind()?.connect((SERVER, 80).into())
    }
}

#[test]
fn a_mark_on_the_syn_alone_is_not_known() -> Result<()> {
    for (habit, known) in [
        (Habit::Syn, Value::Null),
        (Habit::SynAndEarly, Value::Bool(true)),
        (Habit::HandshakeAck, Value::Bool(true)),
        (Habit::FirstData, Value::Bool(true)),
    ] {
        let mut lab = Lab::new(habit)?;
        let _nginx = lab.nginx()?;
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        connection.ask(Request::get("/"))?;
        assert_eq!(marked(&lab)?, [(connection.local(), known)].into(), "{habit:?}");
    }
    Ok(())
}

#[test]
fn a_connection_that_is_not_accepted_is_known_to_be_marked() -> Result<()> {
    let mut lab = Lab::new(Habit::HandshakeAck)?;
    let _queue = lab.server.namespace.run(|| Ok(TcpListener::bind((SERVER, 80))?))?;
    let connection = lab.connect(Some(CLIENT.into()))?;
    let rows = objects(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["reason"], &rows[0]["saw_unknown"]), (&"queued".into(), &true.into()));
    assert_eq!(marked(&lab)?.into_keys().collect::<Vec<_>>(), [connection.local()]);
    Ok(())
}

#[test]
fn connections_of_other_namespaces_are_not_counted() -> Result<()> {
    let mut lab = Lab::new(Habit::Early)?;
    let _nginx = lab.nginx()?;
    let connection = lab.connect(Some(CLIENT.into()))?;
    // The balancer's end of the same connection was not marked, and was not accepted there.
    let rows = objects(&lab.balancer.namespace, &["flows", "--existing", "-o", "json"])?;
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["reason"], &rows[0]["saw_unknown"]), (&"connected_out".into(), &Value::Null));
    assert_eq!(rows[0]["server"]["address"], BALANCER.to_string());
    assert_eq!(rows[0]["server"]["port"], connection.local().port());
    assert_eq!(doctor(&lab)?.1.split(' ').take(3).collect::<Vec<_>>(), ["1", "of", "1"]);
    Ok(())
}

#[test]
fn without_the_iterator_sockets_are_queried() -> Result<()> {
    let mut lab = Lab::new(Habit::Early)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let _nginx = lab.nginx()?;
    let mut known = lab.connect_unmarked(&mut module, CLIENT.into())?;
    known.ask(Request::get("/"))?;
    let _marked = lab.connect(Some(CLIENT.into()))?;
    let wrapper = ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin"];
    let run = |arguments: &[&str]| {
        ToaTc::run_through(&lab.server.namespace, &wrapper, &toa_tc::binary()?, arguments)?.succeeded()
    };
    let output = run(&["flows", "--existing", "-o", "json"])?;
    let rows: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["saw_unknown"] == Value::Null), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row["named_by"] == "getpeername").count(), 1);
    let line = output.stderr.lines().nth(1).context("no line")?;
    assert!(
        line.contains("only servers' sockets were queried") && line.ends_with("CAP_BPF and CAP_PERFMON"),
        "{line}"
    );
    Ok(())
}
