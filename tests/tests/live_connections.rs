//! Open connections whose clients the balancer's own table names (`--connections`).
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use socket2::SockRef;
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, mounts, netns::Namespace, nginx_address},
    peers::client::{Bound, Connection, Request},
    process::Signal,
    tool::{
        expected_rows::Log,
        printed::{Printed, Row},
        toa_tc::{NOTHING_FOUND, ToaTc, binary},
    },
    wait,
};

const CLIENTS: u8 = 5;
const CONNECTIONS: usize = 200;
const WATCHED: IpAddr = address(3);

const fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(120, 120, 111, 110 + number))
}

fn client(number: u8, port: u16) -> SocketAddr {
    (address(number), port).into()
}

/// Writes a table to a file in `directory`.
fn file(directory: &Path, table: &str) -> Result<PathBuf> {
    let path = directory.join("table.txt");
    fs::write(&path, table)?;
    Ok(path)
}

fn wait_for(tool: &ToaTc, line: &str) -> Result<()> {
    wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))
        .with_context(|| tool.stderr().unwrap_or_default())
}

/// Returns the objects in JSON Lines, each of which must be valid.
fn objects(stdout: &str, schema: &str) -> Result<Vec<Value>> {
    let schema = jsonschema::validator_for(&serde_json::from_str(schema)?)?;
    let object = |line: &str| {
        let object = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(schema.is_valid(&object), "{line}");
        Ok(object)
    };
    stdout.lines().map(object).collect()
}

/// Returns the targets of the requests in a run's JSON Lines, all of which must have been learned from the table.
fn targets(stdout: &str) -> Result<Vec<String>> {
    let objects = objects(stdout, include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let requests = objects.iter().filter(|object| object.get("event").is_some_and(|it| it == "request"));
    let target = |request: &Value| {
        let at = |path: &str| request.pointer(path).with_context(|| format!("no {path}: {request}"));
        ensure!(at("/toa/learned_from")? == "table" && at("/toa/kind")?.is_null(), "{request}");
        Ok(at("/url/original")?.as_str().context("no text")?.to_owned())
    };
    requests.map(target).collect()
}

#[test]
fn the_balancers_table_names_every_old_connection() -> Result<()> {
    let clients: Vec<IpAddr> = (1..=CLIENTS).map(address).collect();
    // It marks nothing that the tool can see.
    let lab = Balancer::new(Habit::Syn, &clients)?;
    let nginx = lab.nginx()?;
    let directory = tempfile::tempdir()?;
    let of_clients = clients.iter().cycle().take(CONNECTIONS);
    let mut connections = of_clients.map(|client| lab.connect(*client)).collect::<Result<Vec<_>>>()?;
    let request = |kind: &str, index: usize| {
        let id = format!("{kind}-{index}");
        Request::get(&format!("/{id}")).field("x-request-id", &id).field("x-team", "payments")
    };
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.ask(request("before", index))?;
    }
    let table = file(directory.path(), &lab.table())?;
    let table = table.to_str().context("no text")?;

    let listed =
        ToaTc::run(&lab.server.namespace, &["flows", "--connections", table, "-o", "json"])?.succeeded()?;
    let schema = include_str!("../../toa-userspace/schema/commands.schema.json");
    let listed: BTreeSet<String> =
        objects(&listed.stdout, schema)?.iter().map(|row| format!("{}", row["client"])).collect();
    let expected = connections.iter().map(|connection| {
        let SocketAddr::V4(local) = connection.local() else { return String::new() };
        format!("{{\"address\":\"{}\",\"port\":{}}}", local.ip(), local.port())
    });
    assert_eq!(listed, expected.collect());

    let tool = ToaTc::attach(&lab.server, &["--ip", &WATCHED.to_string(), "--connections", table])?;
    wait_for(&tool, &format!("open connections: following 40 of 200 (200 named by {table})\n"))?;
    let before: usize = connections.iter().map(|connection| connection.sent().len()).sum();
    for number in 0..3 {
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.ask(request(&format!("after-{number}"), index))?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    assert_eq!((before, logged.len()), (CONNECTIONS, 4 * CONNECTIONS));
    let of_watched = connections.iter().filter(|connection| connection.local().ip() == WATCHED);
    let expected: BTreeSet<Row> = Log::new(&logged)?.rows(of_watched)?;
    let expected: BTreeSet<Row> = expected.into_iter().filter(|row| !row.4.starts_with("/before")).collect();
    let requests = output.requests()?;
    let printed: BTreeSet<Row> = requests.iter().map(Printed::row).collect();
    assert_eq!(expected.len(), 3 * CONNECTIONS / usize::from(CLIENTS));
    assert_eq!(printed, expected, "{}", output.stderr);
    assert_eq!(requests.len(), expected.len(), "printed more than once");
    output.ledger()?.check()?;
    println!(
        "{CONNECTIONS} connections in the table, {} requests printed of {}",
        requests.len(),
        3 * CONNECTIONS
    );
    Ok(())
}

/// Opens a connection from `local`, or from any port, and asks once.
fn open(lab: &Lab, local: Option<SocketAddr>, target: &str) -> Result<Connection> {
    let bound = match local {
        Some(local) => Bound::new(&lab.balancer.namespace, local)?,
        None => lab.bind()?,
    };
    let mut connection = bound.connect(nginx_address())?;
    connection.ask(Request::get(target))?;
    Ok(connection)
}

/// Ends a connection at once, so that its port can be used again.
fn reset(mut connection: Connection) -> Result<()> {
    SockRef::from(&*connection.stream()).set_linger(Some(std::time::Duration::ZERO))?;
    drop(connection);
    Ok(())
}

#[test]
fn an_entry_ends_with_its_connection() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::Syn)?;
        let _nginx = lab.nginx()?;
        let directory = tempfile::tempdir()?;
        let (mut first, mut second) = (open(&lab, None, "/1")?, open(&lab, None, "/1")?);
        let (of_first, of_second) = (first.local(), second.local());
        let table = format!("{} {of_first}\n{} {of_second}\n", client(3, 1), client(4, 2));
        let table = file(directory.path(), &table)?;
        let arguments = ["-o", "json", "--ip", "120.120.111.113", "--connections"];
        let tool =
            ToaTc::attach(&lab.server, &[&arguments[..], &[table.to_str().context("no text")?]].concat())?;
        wait_for(&tool, "open connections: following 1 of 2 (2 named by ")?;
        first.ask(Request::get("/first"))?;
        second.ask(Request::get("/unwatched"))?;
        for connection in [first, second] {
            reset(connection)?;
        }
        let mut first = open(&lab, Some(of_first), "/another")?;
        let mut second = open(&lab, Some(of_second), "/another")?;
        // The table no longer applies to these addresses and ports.
        tool.watch("add", "any")?;
        let mut third = open(&lab, None, "/unmarked")?;
        for connection in [&mut first, &mut second, &mut third] {
            connection.ask(Request::get("/another"))?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&output.stdout)?, ["/first"], "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn rules_that_are_added_later_apply_to_the_table() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::Syn)?;
        let _nginx = lab.nginx()?;
        let directory = tempfile::tempdir()?;
        let mut connection = open(&lab, None, "/before")?;
        let table = file(directory.path(), &format!("{} {}\n", client(3, 1), connection.local()))?;
        let arguments = ["-o", "json", "--connections", table.to_str().context("no text")?];
        let tool = ToaTc::attach(&lab.server, &arguments)?;
        wait_for(&tool, "open connections: following 0 of 1 (1 named by ")?;
        connection.ask(Request::get("/unwatched"))?;
        tool.watch("add", &WATCHED.to_string())?;
        wait_for(&tool, "open connections: following 1 more\n")?;
        connection.ask(Request::get("/watched"))?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&output.stdout)?, ["/watched"], "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn balancers_and_server_ports_restrict_which_connections_the_table_names() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let _nginx = lab.nginx()?;
    let directory = tempfile::tempdir()?;
    let connection = open(&lab, None, "/")?;
    let table = file(directory.path(), &format!("{} {}\n", client(3, 1), connection.local()))?;
    let table = table.to_str().context("no text")?;
    for (arguments, line) in [
        (["--lb", "10.9.0.0/24"], "following 1 of 1 "),
        (["--lb", "192.0.2.0/24"], "following 0 of 0 "),
        (["--server-port", "80"], "following 1 of 1 "),
        (["--server-port", "443"], "following 0 of 0 "),
    ] {
        let tool =
            ToaTc::attach(&lab.server, &[&["--any", "--connections", table], &arguments[..]].concat())?;
        wait_for(&tool, line)?;
        tool.stop(Signal::Interrupt)?.succeeded()?;
    }
    Ok(())
}

/// Runs `flows --connections -` with `table` as stdin, without privileges, and returns stdout and stderr.
fn list(namespace: &Namespace, table: &Path, arguments: &[&str]) -> Result<(String, String)> {
    let mut command = std::process::Command::new(binary()?);
    command.args(["flows", "--connections", "-"]).args(arguments);
    command.stdin(File::open(table)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = namespace.run(|| Ok(command.output()?))?;
    ensure!(matches!(output.status.code(), Some(0 | NOTHING_FOUND)), "{output:?}");
    Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[test]
fn what_the_table_does_not_say_has_its_reason_and_wrong_lines_are_shown() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let _nginx = lab.nginx()?;
    let directory = tempfile::tempdir()?;
    let connections = [open(&lab, None, "/")?, open(&lab, None, "/")?, open(&lab, None, "/")?];
    let [known, contradictory, _] = connections.each_ref().map(Connection::local);
    let table = format!(
        "{} {known}\n{} {contradictory}\nIPVS \x1b[31mconnection entries\n{} {contradictory}\nwrong\n{} 10.9.0.1:1\n",
        client(3, 1),
        client(3, 2),
        client(4, 2),
        client(4, 3),
    );
    let table = file(directory.path(), &table)?;
    let (rows, stderr) = list(&lab.server.namespace, &table, &["-o", "json"])?;
    let rows = objects(&rows, include_str!("../../toa-userspace/schema/commands.schema.json"))?;
    let mut of: Vec<_> =
        rows.iter().map(|row| (row["network"]["peer"]["port"].clone(), row["reason"].clone())).collect();
    of.retain(|(port, _)| connections.iter().any(|connection| *port == connection.local().port()));
    let mut expected: Vec<(Value, Value)> = vec![
        (known.port().into(), Value::Null),
        (contradictory.port().into(), "contradictory".into()),
        (connections[2].local().port().into(), "no_entry".into()),
    ];
    of.sort_by_key(|(port, _)| port.as_u64());
    expected.sort_by_key(|(port, _)| port.as_u64());
    assert_eq!(of, expected);
    let messages = objects(&stderr, include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let said: Vec<_> = messages.iter().filter_map(|message| message["message"].as_str()).collect();
    for line in [
        "3 established connections: 1 named by stdin; 1 not in the table; 1 of several clients in the table",
        "stdin: 4 connections, 1 of them not open here",
        "stdin: 2 wrong lines, the first is line 3: neither a line of ipvsadm -lnc nor CLIENT LOCAL: \
         IPVS \\x1b[31mconnection entries",
    ] {
        assert!(said.contains(&line), "{line}\n{stderr}");
    }
    let (text, _) = list(&lab.server.namespace, &table, &["120.120.111.113"])?;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("120.120.111.113:1 ") && text.contains(" table"), "{text}");
    Ok(())
}
