//! HTTP/2 without TLS: the watched client's requests are those that nginx logged, and no others.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{collections::BTreeMap, fs, net::SocketAddr, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{BALANCER, Lab, SERVER, marker::Habit},
    peers::{
        nginx::{Also, HTTP2_PORT, Logged, Nginx, PORT, Setup},
        tcpdump::Capture,
    },
    process::{Process, Signal},
    tool::toa_tc::{Output, ToaTc},
    wait,
};

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";

/// The port of nghttpx, which takes upgrades and passes requests on to nginx.
const UPGRADE_PORT: u16 = 85;

/// What identifies a request on either side: the balancer's port, method, target, request id and team.
type Row = (u16, String, String, String, String);

fn start_nginx(lab: &Lab) -> Result<Nginx> {
    Nginx::start_with(&lab.server.namespace, Setup { also: Also::Http2, ..Setup::default() })
}

fn url(port: u16, path: &str) -> String {
    format!("http://{SERVER}:{port}{path}")
}

/// Marks the next connections as those of these clients.
fn mark_next(lab: &mut Lab, clients: &[&str]) -> Result<()> {
    let options = clients.iter().map(|client| Ok(toa_option(client.parse()?)));
    let options = options.collect::<Result<Vec<_>>>()?;
    lab.marker.assign_next(options.iter().map(|option| &option[..]))
}

/// Runs a program on the balancer's side, whose next connections are those of these clients.
fn run(lab: &mut Lab, clients: &[&str], program: &str, arguments: &[&str]) -> Result<String> {
    mark_next(lab, clients)?;
    lab.balancer.namespace.output(program, arguments)
}

/// Runs curl once for each target: Debian's curl cannot reuse such a connection.
fn curl(lab: &mut Lab, client: &str, arguments: &[&str], urls: &[String]) -> Result<()> {
    for url in urls {
        let mut all = vec!["-sS", "--fail", "--max-time", "20", "--noproxy", "*", "-o", "/dev/null"];
        all.extend(arguments);
        all.push(url);
        run(lab, &[client], "curl", &all)?;
    }
    Ok(())
}

/// Runs nghttp, which sends all requests on one connection.
fn nghttp(lab: &mut Lab, client: &str, arguments: &[&str], urls: &[String]) -> Result<()> {
    let mut all = vec!["--null-out", "--timeout=20"];
    all.extend(arguments);
    all.extend(urls.iter().map(String::as_str));
    run(lab, &[client], "nghttp", &all).map(drop)
}

/// Returns the objects of the printed requests.
fn requests(output: &Output) -> Result<Vec<Value>> {
    let lines = output.stdout.lines().map(serde_json::from_str::<Value>);
    let objects = lines.collect::<Result<Vec<_>, _>>()?;
    Ok(objects.into_iter().filter(|object| object["event"] == "request").collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn port(value: &Value) -> Result<u16> {
    Ok(u16::try_from(value.as_u64().context("no port")?)?)
}

/// Returns what identifies a printed request.
fn printed_row(request: &Value) -> Result<Row> {
    let via = port(&request["network"]["peer"]["port"])?;
    let header = &request["http"]["request"]["header"];
    let (id, team) = (text(&header["x-request-id"][0]), text(&header["x-team"][0]));
    Ok((via, text(&request["http"]["request"]["method"]), text(&request["url"]["original"]), id, team))
}

/// Returns what identifies a logged request of HTTP/2.
fn logged_row(logged: &Logged) -> Option<Row> {
    let [method, target, "HTTP/2.0"] = logged.request.split(' ').collect::<Vec<_>>()[..] else { return None };
    let row = (method.to_owned(), target.to_owned(), logged.request_id.clone(), logged.team.clone());
    Some((logged.peer.port(), row.0, row.1, row.2, row.3))
}

/// Returns the ports of the connections that were marked as this client's.
fn ports_of(lab: &Lab, client: &str) -> Result<Vec<u16>> {
    let option = toa_option(client.parse()?);
    let options = lab.marker.options()?.into_iter();
    Ok(options.filter(|(_, it)| *it == option).map(|(port, _)| port).collect())
}

/// Checks that the printed requests are the watched client's, in order on each connection, and without a mark.
fn check(lab: &Lab, printed: &[Value], logged: &[Logged]) -> Result<usize> {
    let watched = ports_of(lab, WATCHED)?;
    let client: SocketAddr = WATCHED.parse()?;
    let mut streams: BTreeMap<u16, u64> = BTreeMap::new();
    for request in printed {
        let what = || request.to_string();
        ensure!(request["client"]["address"] == client.ip().to_string(), "{}", what());
        ensure!(port(&request["client"]["port"])? == client.port(), "{}", what());
        ensure!(request["network"]["protocol"]["version"] == "2", "{}", what());
        for mark in ["incomplete", "malformed", "framing_fault", "unknown_fields", "conflicting"] {
            ensure!(request[mark].is_null(), "{}", what());
        }
        ensure!(request["resynchronized"] == false && request["possibly_unread"] == false, "{}", what());
        let stream = request["connection"]["stream"].as_u64().context("no stream")?;
        let last = streams.entry(port(&request["network"]["peer"]["port"])?).or_default();
        ensure!(stream % 2 == 1 && stream > *last, "{}", what());
        *last = stream;
    }
    let mut expected: Vec<Row> =
        logged.iter().filter_map(logged_row).filter(|row| watched.contains(&row.0)).collect();
    let mut rows = printed.iter().map(printed_row).collect::<Result<Vec<_>>>()?;
    expected.sort_unstable();
    rows.sort_unstable();
    ensure!(rows == expected, "printed {rows:#?}, logged {expected:#?}");
    Ok(rows.len())
}

/// Lets both clients send requests of every kind.
fn ask(lab: &mut Lab) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("toa-http2-").tempdir()?;
    let body = directory.path().join("body");
    // It consists of what looks like requests.
    fs::write(&body, b"GET /never HTTP/1.1\r\nhost: never\r\n\r\n".repeat(30_000))?;
    let upload = format!("--data={}", body.display());
    let message = directory.path().join("message");
    fs::write(&message, b"\0\0\0\0\x03abc")?;
    let message = format!("--data={}", message.display());
    for (number, client) in [OTHER, WATCHED, OTHER, WATCHED].into_iter().enumerate() {
        let id = format!("x-request-id: {number}");
        let team = format!("x-team: {client}");
        let fields = ["-H", &id, "-H", &team];
        let urls: Vec<_> = (0..5).map(|path| url(HTTP2_PORT, &format!("/{number}/{path}?a=b"))).collect();
        curl(lab, client, &[&fields[..], &["--http2-prior-knowledge"]].concat(), &urls[..3])?;
        nghttp(lab, client, &fields, &urls)?;
        nghttp(lab, client, &[&fields[..], &[&upload, "--trailer=x-checksum: 7"]].concat(), &urls[..1])?;
        let grpc =
            ["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "trace-bin: AAEC/w=="];
        nghttp(lab, client, &[&fields[..], &grpc, &[&message]].concat(), &urls[..1])?;
        let long = format!("x-long: {}", "l".repeat(20_000));
        nghttp(lab, client, &[&fields[..], &["-H", &long]].concat(), &urls[..2])?;
    }
    Ok(())
}

#[test]
fn the_watched_clients_requests_are_those_that_nginx_logged() -> Result<()> {
    for habit in Habit::ALL {
        let mut lab = Lab::new(habit)?;
        let nginx = start_nginx(&lab)?;
        let tool = ToaTc::attach(&lab.server, &["-o", "json", "--ip", "203.0.113.9"])?;
        ask(&mut lab)?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        output.ledger()?.check()?;
        let printed = requests(&output)?;
        let count = check(&lab, &printed, &nginx.stop()?).with_context(|| format!("{habit:?}"))?;
        ensure!(count == 24, "{habit:?}: {count}");
        for request in &printed {
            let header = &request["http"]["request"]["header"];
            ensure!(header["host"][0] == format!("{SERVER}:{HTTP2_PORT}"), "{request}");
        }
        let grpc = printed.iter().filter(|it| it["http"]["request"]["header"]["trace-bin"][0] == "AAEC/w==");
        ensure!(grpc.count() == 2, "{}", output.stdout);
    }
    Ok(())
}

#[test]
fn thousands_of_streams_of_several_connections_are_told_apart() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = start_nginx(&lab)?;
    let tool = ToaTc::attach(&lab.server, &["-o", "json", "--ip", "203.0.113.9"])?;
    let clients = [WATCHED, OTHER, WATCHED, OTHER];
    let directory = tempfile::Builder::new().prefix("toa-http2-").tempdir()?;
    // No two streams of a connection have the same target.
    let urls: String =
        (0..2500).map(|number| url(HTTP2_PORT, &format!("/load/{number}?q=1")) + "\n").collect();
    let file = directory.path().join("urls");
    fs::write(&file, urls)?;
    let file = file.display().to_string();
    let load = ["-n", "10000", "-c", "4", "-m", "100", "-t", "1", "-H", "x-team: load", "-i", &file];
    let said = run(&mut lab, &clients, "h2load", &load)?;
    ensure!(said.contains("10000 succeeded"), "{said}");
    run(
        &mut lab,
        &[WATCHED],
        "nghttp",
        &["-n", "-m", "50", "-H", "x-team: nghttp", &url(HTTP2_PORT, "/nghttp")],
    )?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let count = check(&lab, &requests(&output)?, &nginx.stop()?)?;
    println!("{count} requests");
    ensure!(count == 5050, "{count}");
    Ok(())
}

/// Starts nghttpx, which speaks HTTP/1.1 and HTTP/2 on one port.
fn start_nghttpx(lab: &Lab) -> Result<Process> {
    let mut command = lab.server.namespace.command("nghttpx");
    command.arg(format!("--frontend=*,{UPGRADE_PORT};no-tls")).arg(format!("--backend=127.0.0.1,{PORT}"));
    command.args(["--workers=1", "--no-ocsp", "--conf=/dev/null", "--errorlog-file=/dev/null"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::new("nghttpx", command.spawn().context("starting nghttpx")?);
    wait::until("nghttpx to accept connections", || {
        ensure!(process.status()?.is_none(), "nghttpx has ended");
        let address = ("127.0.0.1", UPGRADE_PORT);
        Ok(lab.server.namespace.run(|| Ok(std::net::TcpStream::connect(address)?)).ok())
    })?;
    Ok(process)
}

#[test]
fn an_upgrade_is_followed_by_the_requests_of_http_2() -> Result<()> {
    for habit in [Habit::Syn, Habit::FirstData] {
        let mut lab = Lab::new(habit)?;
        let nginx = start_nginx(&lab)?;
        let _nghttpx = start_nghttpx(&lab)?;
        let tool = ToaTc::attach(&lab.server, &["-o", "json", "--ip", "203.0.113.9"])?;
        for client in [OTHER, WATCHED] {
            let urls: Vec<_> = (0..4).map(|path| url(UPGRADE_PORT, &format!("/{path}"))).collect();
            let team = format!("x-team: {client}");
            nghttp(&mut lab, client, &["--upgrade", "-H", &team], &urls)?;
            curl(&mut lab, client, &["--http2", "-H", &team], &urls[..1])?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        output.ledger()?.check()?;
        let found: Vec<_> = requests(&output)?
            .iter()
            .map(|it| {
                let version = text(&it["network"]["protocol"]["version"]);
                (text(&it["url"]["original"]), version, it["connection"]["stream"].as_u64().unwrap_or(1))
            })
            .collect();
        let lines: Vec<_> = found.iter().map(|(target, version, _)| format!("{target} {version}")).collect();
        ensure!(lines == ["/0 1.1", "/1 2", "/2 2", "/3 2", "/0 1.1"], "{habit:?}: {found:?}");
        let streams: Vec<_> = found[..4].iter().map(|(.., stream)| *stream).collect();
        ensure!(streams.is_sorted_by(|a, b| a < b && b % 2 == 1), "{habit:?}: {found:?}");
        let logged = nginx.stop()?;
        ensure!(logged.iter().filter(|it| it.team == WATCHED).count() == 5, "{logged:?}");
    }
    Ok(())
}

#[test]
fn a_run_that_begins_later_prints_nothing_wrong() -> Result<()> {
    let mut lab = Lab::new(Habit::Syn)?;
    let _nginx = start_nginx(&lab)?;
    let target = url(HTTP2_PORT, "/load?q=1");
    let mut load = lab.balancer.namespace.command("h2load");
    load.args(["-D", "600", "-c", "4", "-m", "3", "-t", "1", "-H", "x-team: load", &target]);
    load.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    mark_next(&mut lab, &[WATCHED; 4])?;
    let mut load = Process::new("h2load", load.spawn().context("starting h2load")?);
    wait::until("connections", || Ok((ports_of(&lab, WATCHED)?.len() == 4).then_some(())))?;
    let port = HTTP2_PORT.to_string();
    let tool = ToaTc::attach(&lab.server, &["-o", "json", "--any-flow", "--server-port", &port])?;
    wait::until("requests", || Ok((tool.stdout()?.lines().count() > 1000).then_some(())))?;
    load.stop(Signal::Terminate)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let printed = requests(&output)?;
    println!("{} requests", printed.len());
    ensure!(printed.len() > 500, "{}: {}", printed.len(), output.stderr);
    for request in &printed {
        let header = &request["http"]["request"]["header"];
        let is_known_target = request["url"]["original"] == "/load?q=1";
        ensure!(request["resynchronized"] == true, "{request}");
        ensure!(request["http"]["request"]["method"] == "GET", "{request}");
        ensure!(is_known_target || request["url"]["original"] == "(unknown)", "{request}");
        ensure!(is_known_target || request["unknown_fields"].as_u64() > Some(0), "{request}");
        ensure!(header["x-team"].is_null() || header["x-team"][0] == "load", "{request}");
    }
    Ok(())
}

#[test]
fn tshark_finds_the_same_requests_in_a_capture() -> Result<()> {
    let mut lab = Lab::new(Habit::Syn)?;
    let _nginx = start_nginx(&lab)?;
    let capture = Capture::start_both_ways(&lab.server, "tcp")?;
    ask(&mut lab)?;
    let target = url(HTTP2_PORT, "/load?q=1");
    run(&mut lab, &[WATCHED; 2], "h2load", &["-n", "200", "-c", "2", "-m", "5", "-t", "1", &target])?;
    let last: u16 = 47_123;
    lab.marker.assign(SocketAddr::new(BALANCER.into(), last), &toa_option(WATCHED.parse()?))?;
    let local_port = last.to_string();
    let arguments = ["-sS", "--noproxy", "*", "--http2-prior-knowledge", "--local-port", &local_port];
    let target = url(HTTP2_PORT, "/last");
    lab.balancer.namespace.output("curl", &[&arguments[..], &[&target]].concat())?;
    let file = capture.file_at_end_of(last)?;
    let path = file.path().to_str().context("a path that is no text")?;
    let arguments = ["read", path, "--any-flow", "-o", "json"];
    let ours = ToaTc::run(&lab.server.namespace, &arguments)?.succeeded()?;
    let decode = format!("tcp.port=={HTTP2_PORT},http2");
    let fields = ["tcp.srcport", "http2.headers.method", "http2.headers.path", "http2.streamid"];
    let mut arguments = vec!["-r", path, "-d", &decode, "-Y", "http2.headers.method", "-T", "fields"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let theirs = lab.server.namespace.output("tshark", &arguments)?;
    let mut theirs: Vec<(u16, String, String)> = theirs
        .lines()
        .flat_map(|line| {
            // Several requests of a packet are separated by commas.
            let columns: Vec<Vec<&str>> = line.split('\t').map(|it| it.split(',').collect()).collect();
            let port = columns[0][0].parse().unwrap_or(0);
            let pairs = columns[1].iter().zip(&columns[2]);
            pairs
                .map(move |(method, path)| (port, (*method).to_owned(), (*path).to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    let ours = requests(&ours)?.iter().map(printed_row).collect::<Result<Vec<_>>>()?;
    let mut ours: Vec<_> =
        ours.into_iter().map(|(port, method, target, ..)| (port, method, target)).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    println!("{} requests", ours.len());
    ensure!(ours.len() == 249 && ours == theirs, "ours {ours:#?}, theirs {theirs:#?}");
    Ok(())
}
