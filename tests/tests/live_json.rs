//! Every line of `-o json` conforms to the schema, and every field agrees with the clients and nginx.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};
use toa_tests::{
    lab::{BALANCER, Lab, SERVER, balancer::Balancer, marker::Habit, nginx_address},
    peers::{
        client::{Connection, Request},
        nginx::Logged,
    },
    process::Signal,
    tool::toa_tc::{Output, ToaTc},
    wait::{self, PATIENCE},
};

const CONNECTIONS: u16 = 4;
const REQUESTS: u32 = 3;

/// The packet that a client is learned from in the end, by habit. An early packet is more certain than the
/// SYN, but here both name the same client.
const LEARNED_FROM: [(Habit, &str); 5] = [
    (Habit::Syn, "syn"),
    (Habit::SynAndEarly, "syn"),
    (Habit::Early, "ack"),
    (Habit::HandshakeAck, "ack"),
    (Habit::FirstData, "data"),
];

fn schema() -> Result<Validator> {
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    Ok(jsonschema::options().should_validate_formats(true).build(&schema)?)
}

/// Returns the objects of an output. All must be valid, and only the last one must be a ledger.
fn objects(output: &Output) -> Result<Vec<Value>> {
    ensure!(output.stdout.ends_with('\n'), "an unfinished line: {}", output.stdout);
    let schema = schema()?;
    let mut objects = Vec::new();
    for line in output.stdout.lines() {
        let object = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        if let Err(error) = schema.validate(&object) {
            anyhow::bail!("{error} at {}: {line}", error.instance_path());
        }
        objects.push(object);
    }
    for line in output.raw_stderr.lines() {
        let message: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        ensure!(schema.is_valid(&message) && message["event"] == "message", "not by the schema: {line}");
    }
    let ledgers: Vec<_> = (0..).zip(&objects).filter(|(_, it)| it["event"] == "ledger").collect();
    ensure!(ledgers.len() == 1 && ledgers[0].0 + 1 == objects.len(), "the ledger is not last: {objects:?}");
    Ok(objects)
}

fn of_event<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

fn endpoint(address: SocketAddr) -> Value {
    json!({"address": address.ip().to_string(), "port": address.port()})
}

fn request(connection: u16, number: u32) -> Request {
    let request = if number == 1 { Request::post("/orders", 10) } else { Request::get("/orders") };
    let target = format!("/orders/{connection}?number={number}&token=hidden");
    Request { target, ..request }
        .field("x-request-id", &format!("{connection}-{number}"))
        .field("x-team", &format!("team-{connection}"))
        .field("X-Via", "a")
        .field("x-via", "b\\\u{1b}")
        .field("authorization", "Bearer hidden")
}

/// Returns what must be printed of a request, except for times and ids.
fn expected(
    (client, peer): (SocketAddr, SocketAddr),
    connection: &Connection,
    number: usize,
    learned_from: &str,
) -> Value {
    let request = &connection.sent()[number];
    let redacted = request.target.replace("hidden", "•••");
    let (path, query) = redacted.split_once('?').unzip();
    let mut header = json!({
        "host": ["lab"],
        "x-request-id": [request.value("x-request-id")],
        "x-team": [request.value("x-team")],
        "x-via": ["a", r"b\\\x1b"],
        "authorization": ["Bearer ••• (redacted)"],
    });
    if request.body > 0 {
        header["content-length"] = json!([request.body.to_string()]);
    }
    json!({
        "event": "request",
        "client": endpoint(client),
        "network": {
            "peer": endpoint(peer),
            "interface": {"name": "web0"},
            "protocol": {"name": "http", "version": "1.1"},
        },
        "server": endpoint(nginx_address()),
        "proxy": null,
        "http": {"request": {"method": request.method, "header": header}},
        "url": {"original": redacted, "path": path, "query": query},
        "toa": {"kind": 254, "length": 8, "learned_from": learned_from, "ambiguous": false},
        "connection": {"request": number + 1, "stream": null},
        "incomplete": null,
        "malformed": "control character",
        "resynchronized": false,
        "reopened": false,
        // Every request has a malformed field, which a server may refuse.
        "possibly_unread": number > 0,
        "conflicting": null,
        "framing_fault": null,
        "unknown_fields": null,
    })
}

/// Checks and removes what the test cannot know in advance. Returns the connection's id and the rest.
fn take_unknown(mut object: Value, host: &str) -> Result<(String, Value)> {
    ensure!(object["host"]["name"] == host, "{object}");
    let id = object["connection"]["id"].as_str().context("no id")?.to_owned();
    let fields = object.as_object_mut().context("no object")?;
    fields.remove("host");
    fields.remove("timestamp").context("no time")?;
    // It is that of this process.
    fields.remove("workload").context("no workload")?;
    if let Some(connection) = fields.get_mut("connection").and_then(Value::as_object_mut) {
        connection.remove("id");
    }
    Ok((id, object))
}

fn check_log(logged: &[Logged], requests: &[&Value]) -> Result<()> {
    let by_id: BTreeMap<_, _> = logged.iter().map(|logged| (logged.request_id.as_str(), logged)).collect();
    ensure!(by_id.len() == logged.len() && logged.len() == requests.len(), "{logged:?}");
    for request in requests {
        let header = &request["http"]["request"]["header"];
        let id = header["x-request-id"][0].as_str().context("no id")?;
        let logged = by_id.get(id).with_context(|| format!("nginx did not log {id}"))?;
        ensure!(request["network"]["peer"] == endpoint(logged.peer), "{request}: {logged:?}");
        ensure!(header["x-team"] == json!([logged.team]), "{request}: {logged:?}");
        let line = format!(
            "{} {} HTTP/1.1",
            request["http"]["request"]["method"].as_str().unwrap_or_default(),
            request["url"]["original"].as_str().unwrap_or_default(),
        );
        ensure!(line.replace("•••", "hidden") == logged.request, "{line}: {logged:?}");
    }
    Ok(())
}

fn check(habit: Habit, learned_from: &str) -> Result<()> {
    let mut lab = Lab::new(habit)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["-o", "json", "--any"])?;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let client = SocketAddr::from(([203, 0, 113, 9], 50_000 + number));
        connections.push((client, lab.connect(Some(client))?));
    }
    // This one is not followed.
    lab.connect(None)?.ask(Request::get("/unmarked"))?;
    for number in 0..REQUESTS {
        for (index, (_, connection)) in (0..).zip(&mut connections) {
            connection.ask(request(index, number))?;
        }
    }
    let mut sent_bytes = 0;
    let mut expected_requests = Vec::new();
    for (client, connection) in &connections {
        sent_bytes += connection.sent_bytes();
        let numbers = 0..connection.sent().len();
        let ends = (*client, connection.local());
        expected_requests.extend(numbers.map(|number| expected(ends, connection, number, learned_from)));
    }
    drop(connections);
    wait::until("the end of every connection", || {
        let closed = tool.stdout()?.matches(r#""state":"closed""#).count();
        Ok((closed == usize::from(CONNECTIONS)).then_some(()))
    })?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    // The ledger has a field of this name.
    assert!(!output.stdout.replace(r#""hidden":{"#, "").contains("hidden"), "{}", output.stdout);
    let objects = objects(&output)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;

    let requests = of_event(&objects, "request");
    let mut log = nginx.stop()?;
    log.retain(|logged| !logged.request.contains("/unmarked"));
    check_log(&log, &requests)?;
    let mut printed = Vec::new();
    let mut requests_by_id: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for request in requests {
        let (id, request) = take_unknown(request.clone(), host.trim_end())?;
        requests_by_id.entry(id).or_default().push(request["connection"]["request"].clone());
        printed.push(request);
    }
    let order =
        |object: &Value| (object["client"]["port"].as_u64(), object["connection"]["request"].as_u64());
    printed.sort_by_key(order);
    assert_eq!(printed, expected_requests, "{habit:?}");
    assert_eq!(requests_by_id.len(), usize::from(CONNECTIONS), "{habit:?}: {requests_by_id:?}");
    for numbers in requests_by_id.values() {
        assert_eq!(*numbers, (1..=REQUESTS).map(Value::from).collect::<Vec<_>>(), "{habit:?}");
    }

    let mut states: BTreeMap<String, Vec<(Value, Value)>> = BTreeMap::new();
    for connection in of_event(&objects, "connection") {
        let (id, object) = take_unknown(connection.clone(), host.trim_end())?;
        assert_eq!(object["network"]["interface"]["name"], "web0");
        assert_eq!(object["server"], endpoint(nginx_address()));
        let (state, reason) = (&object["connection"]["state"], &object["connection"]["reason"]);
        states.entry(id).or_default().push((state.clone(), reason.clone()));
    }
    assert_eq!(states.keys().collect::<Vec<_>>(), requests_by_id.keys().collect::<Vec<_>>());
    for states in states.values() {
        let expected = [(json!("open"), Value::Null), (json!("closed"), json!("fin"))];
        assert_eq!(*states, expected, "{habit:?}");
    }

    let ledger = objects.last().context("no ledger")?;
    let count = u64::from(CONNECTIONS) * u64::from(REQUESTS);
    assert_eq!(ledger["requests"], count);
    assert_eq!((&ledger["connections"], &ledger["incomplete"]), (&json!(CONNECTIONS), &json!(0)));
    assert_eq!(ledger["gaps"], json!({"count": 0, "bytes": 0}));
    let nothing = json!({"ring_full": 0, "no_reader": 0, "other": 0});
    let bytes = json!({
        "matched": sent_bytes, "delivered": sent_bytes, "cut": 0, "lost": nothing, "bypassed": 0,
        "used": sent_bytes, "duplicate": 0, "conflicting": 0, "discarded": 0,
    });
    assert_eq!(ledger["bytes"], bytes, "{habit:?}");
    // The ledger is still on stderr, with the same numbers.
    let text = output.ledger()?;
    text.check()?;
    assert_eq!(ledger["packets"]["matched"], text.packets("matched")?);
    assert_eq!(ledger["packets"]["delivered"], text.packets("delivered")?);
    Ok(())
}

#[test]
fn every_habit_is_printed_as_it_was() -> Result<()> {
    LEARNED_FROM
        .into_iter()
        .try_for_each(|(habit, from)| check(habit, from).with_context(|| format!("{habit:?}")))
}

/// Checks that, through a balancer and with several clients, exactly the requests of the watched one are
/// printed.
fn check_behind_balancer(habit: Habit, learned_from: &str) -> Result<()> {
    let clients: Vec<IpAddr> = (1..=5).map(|number| [120, 120, 111, 110 + number].into()).collect();
    let watched = clients[2];
    let lab = Balancer::new(habit, &clients)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["-o", "json", "--ip", &watched.to_string()])?;
    let of_clients = clients.iter().cycle().take(50);
    let mut connections = of_clients.map(|client| lab.connect(*client)).collect::<Result<Vec<_>>>()?;
    for number in 0..20 {
        for (index, connection) in (0..).zip(&mut connections) {
            connection.ask(request(index, number))?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let log = nginx.stop()?;
    assert_eq!(log.len(), 1000);
    let peers: BTreeMap<_, _> = log.iter().map(|it| (it.request_id.as_str(), it.peer)).collect();

    let objects = objects(&output)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let printed = of_event(&objects, "request").into_iter().cloned();
    let mut printed = printed
        .map(|object| Ok(take_unknown(object, host.trim())?.1.to_string()))
        .collect::<Result<Vec<_>>>()?;
    let mut wanted = Vec::new();
    for connection in connections.iter().filter(|connection| connection.local().ip() == watched) {
        for (number, request) in connection.sent().iter().enumerate() {
            let id = request.value("x-request-id").context("no id")?;
            let peer = *peers.get(id).with_context(|| format!("nginx did not log {id}"))?;
            assert_eq!(peer.ip(), BALANCER);
            let ends = (connection.local(), peer);
            wanted.push(expected(ends, connection, number, learned_from).to_string());
        }
    }
    printed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(wanted.len(), 200);
    assert_eq!(printed, wanted, "{habit:?}");
    Ok(())
}

#[test]
fn every_habit_of_a_balancer_is_printed_as_it_was() -> Result<()> {
    LEARNED_FROM.into_iter().try_for_each(|(habit, learned_from)| check_behind_balancer(habit, learned_from))
}

/// Runs with `arguments`, sends five requests on one connection, and returns the objects printed when `end`
/// has ended the run.
fn run(arguments: &[&str], end: impl FnOnce(ToaTc) -> Result<Output>) -> Result<Vec<Value>> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &[&["-o", "json", "--any"], arguments].concat())?;
    let mut connection = lab.connect(Some(SocketAddr::from(([203, 0, 113, 9], 54321))))?;
    for number in 0..5 {
        connection.ask(request(0, number))?;
    }
    objects(&end(tool)?.succeeded()?)
}

#[test]
fn the_ledger_is_last_however_a_run_ends() -> Result<()> {
    let objects = run(&["-c", "2"], |tool| tool.wait(PATIENCE))?;
    assert_eq!(of_event(&objects, "request").len(), 2);
    let objects = run(&["--duration", "2s"], |tool| tool.wait(PATIENCE))?;
    assert_eq!(of_event(&objects, "request").len(), 5);
    let closed =
        of_event(&objects, "connection").into_iter().filter(|it| it["connection"]["state"] == "closed");
    assert_eq!(closed.map(|it| &it["connection"]["reason"]).collect::<Vec<_>>(), ["finished"]);
    let objects = run(&[], |tool| tool.stop(Signal::Terminate))?;
    assert_eq!(objects.last().context("no ledger")?["requests"], 5);
    Ok(())
}

#[test]
fn times_are_now_and_secrets_are_shown_on_demand() -> Result<()> {
    let since_epoch = || Ok::<_, anyhow::Error>(SystemTime::now().duration_since(UNIX_EPOCH)?);
    let before = since_epoch()?;
    let objects = run(&["--show-secrets"], |tool| tool.stop(Signal::Interrupt))?;
    let after = since_epoch()?;
    let requests = of_event(&objects, "request");
    for request in &requests {
        let text = request["timestamp"].as_str().context("no time")?;
        let seconds: Duration = Duration::try_from_secs_f64(seconds_of_day(text)?)?;
        let day = Duration::from_secs(24 * 60 * 60).as_secs_f64();
        let passed = (after.as_secs_f64() - seconds.as_secs_f64()).rem_euclid(day);
        assert!(passed <= after.as_secs_f64() - before.as_secs_f64() + 0.01, "{text} was {passed} s ago");
        assert_eq!(request["http"]["request"]["header"]["authorization"], json!(["Bearer hidden"]));
        assert_eq!(request["server"]["address"], SERVER.to_string());
    }
    assert_eq!(requests.len(), 5);
    Ok(())
}

/// Returns the seconds since midnight of an RFC 3339 time in UTC.
fn seconds_of_day(text: &str) -> Result<f64> {
    let (_, time) = text.trim_end_matches('Z').split_once('T').context("no T")?;
    let parts = time.split(':').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let [hours, minutes, seconds] = parts[..] else { anyhow::bail!("no time of day: {time}") };
    Ok((hours * 60.0 + minutes) * 60.0 + seconds)
}

#[test]
fn what_is_not_http_is_previewed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["-o", "json", "--any"])?;
    let bound = lab.bind()?;
    let client = SocketAddr::from(([203, 0, 113, 9], 54321));
    lab.marker.assign(bound.local(), &toa_packets::toa_option::toa_option(client))?;
    let mut connection = bound.connect(nginx_address())?;
    connection.stream().write_all(b"\x01\"\\\xff hello hunter2")?;
    wait::until("the preview", || Ok(tool.stdout()?.contains("preview\":\"").then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    ensure!(!output.stdout.contains("hunter2"), "{}", output.stdout);
    let objects = objects(&output)?;
    let connections = of_event(&objects, "connection");
    let preview =
        connections.iter().find(|it| it["connection"]["preview"].is_string()).context("no preview")?;
    assert_eq!(preview["connection"]["preview"], r#"\x01"\\\xff•••"#);
    assert_eq!(preview["connection"]["reason"], "other");
    assert_eq!(preview["client"], endpoint(client));
    assert!(of_event(&objects, "request").is_empty());
    Ok(())
}
