//! `attach -w`: a capture has the packets of followed connections, as Wireshark and `read` open them.
#![cfg(feature = "kernel")]

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, nginx_address},
    peers::client::Request,
    process::Signal,
    tool::{
        printed::{Printed, Row},
        toa_tc::{Output, Start, ToaTc},
    },
    wait,
};

const CLIENTS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(120, 120, 111, 111)),
    IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
];
const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Bytes of an upload.
const BODY: usize = 200_000;

fn rows(output: &Output) -> Result<Vec<Row>> {
    let mut rows: Vec<_> = output.requests()?.iter().map(Printed::row).collect();
    rows.sort();
    Ok(rows)
}

/// Runs tshark on a capture.
fn tshark(path: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("tshark").arg("-r").arg(path).args(arguments).stderr(Stdio::null()).output()?;
    ensure!(output.status.success(), "tshark: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Sends two requests and an upload on a connection of each client.
fn talk(lab: &Balancer) -> Result<()> {
    for client in CLIENTS {
        let mut connection = lab.connect(client)?;
        connection.ask(Request::get("/first"))?;
        connection.ask(Request::post("/upload", BODY))?;
        connection.ask(Request::get("/last").field("x-team", "payments"))?;
    }
    Ok(())
}

#[test]
fn a_capture_has_the_requests_of_the_run_and_names_their_clients_whatever_is_marked() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("run.pcapng");
    let file = path.to_str().context("no text")?;
    for habit in Habit::ALL {
        let lab = Balancer::new(habit, &CLIENTS)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--any", "-w", file])?;
        talk(&lab)?;
        let live = tool.stop(Signal::Interrupt)?.succeeded()?;
        live.ledger()?.check()?;
        assert_eq!(rows(&live)?.len(), 3 * CLIENTS.len(), "{habit:?}: {}", live.stderr);

        let read = |arguments: &[&str]| {
            ToaTc::run(&lab.server.namespace, &[&["read", file], arguments].concat())?.succeeded()
        };
        let all = read(&["--any"])?;
        assert_eq!(
            (rows(&all)?, all.stderr.contains("nothing lost")),
            (rows(&live)?, true),
            "{habit:?}: {}",
            all.stderr
        );
        let mut of_one = rows(&live)?;
        of_one.retain(|(client, ..)| client.ip() == CLIENTS[1]);
        assert_eq!(rows(&read(&["--ip", &CLIENTS[1].to_string()])?)?, of_one, "{habit:?}");

        // Bodies are in it.
        assert!(fs::metadata(&path)?.len() > (CLIENTS.len() * BODY) as u64, "{habit:?}");
        let comments = tshark(&path, &["-T", "fields", "-e", "frame.comment", "-e", "frame.interface_name"])?;
        for client in CLIENTS {
            assert!(comments.contains(&format!("client={client}:")), "{habit:?}: {comments}");
        }
        assert!(comments.lines().all(|line| line.ends_with(&format!("\t{}", lab.server.name))), "{comments}");
        let uris = tshark(&path, &["-Y", "http.request", "-T", "fields", "-e", "http.request.uri"])?;
        // A packet may have the ends of two.
        assert_eq!(uris.split_terminator(['\n', ',']).count(), 3 * CLIENTS.len(), "{habit:?}: {uris}");
        assert_eq!(tshark(&path, &["-Y", "_ws.malformed"])?, "", "{habit:?}");
    }
    Ok(())
}

#[test]
fn a_capture_is_written_to_stdout_and_nothing_else() -> Result<()> {
    let mut lab = Lab::over_tun(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let stdout = tempfile::NamedTempFile::new()?;
    let path = stdout.path().to_str().context("no text")?;
    let start = Start { stdout: Some(stdout.reopen()?.into()), ..Start::default() };
    let tool = ToaTc::attach_as(&lab.server, &["--any", "-w", "-"], start)?;
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    connection.ask(Request::get("/tun"))?;
    // Each packet is there at once.
    let mut capture = Vec::new();
    wait::until("the request in the capture", || {
        capture = fs::read(stdout.path())?;
        Ok(capture.windows(4).any(|bytes| bytes == b"/tun").then_some(()))
    })?;
    let output = ToaTc::run(&lab.server.namespace, &["read", path, "--any"])?.succeeded()?;
    let found: Vec<(SocketAddr, String)> =
        output.requests()?.into_iter().map(|request| (request.server, request.target)).collect();
    assert_eq!(found, [(nginx_address(), "/tun".to_owned())]);
    tool.stop(Signal::Interrupt)?.succeeded()?.ledger()?.check()?;
    Ok(())
}

#[test]
fn an_old_capture_is_replaced_only_by_a_run_that_is_attached_and_for_its_owner_alone() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), "old")?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    let path = file.path().to_str().context("no text")?;
    let output = ToaTc::run(&lab.server.namespace, &["attach", "wbe0", "--any", "-w", path])?;
    assert_eq!((output.status.code(), &*fs::read_to_string(path)?), (Some(1), "old"), "{}", output.stderr);
    let tool = ToaTc::attach(&lab.server, &["--any", "-w", path])?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(fs::metadata(path)?.permissions().mode() & 0o777, 0o600);
    assert!(!fs::read(path)?.windows(3).any(|bytes| bytes == b"old"));
    let output = ToaTc::run(&lab.server.namespace, &["read", path, "--any"])?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1);
    Ok(())
}

#[test]
fn a_capture_that_cannot_be_written_is_one_line_and_exit_code_1() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let output =
        ToaTc::run(&lab.server.namespace, &["attach", &lab.server.name, "--any", "-w", "/no/such/file"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stderr.contains("toa-tc: cannot create /no/such/file: No such file or directory"),
        "{}",
        output.stderr
    );
    // Also where the file is spelled in another way.
    let directory = tempfile::tempdir()?;
    let name = |name: &str| format!("{}/{name}", directory.path().display());
    let (file, same) = (name("x.pcapng"), name("./x.pcapng"));
    for (capture, results) in [(file.as_str(), same.as_str()), ("-", file.as_str())] {
        let arguments = ["attach", &lab.server.name, "--any", "-w", capture, "--output-file", results];
        let output = ToaTc::run(&lab.server.namespace, &arguments)?;
        assert_eq!((output.status.code(), output.stderr.lines().count()), (Some(2), 1), "{}", output.stderr);
    }
    let tool = ToaTc::attach_as(&lab.server, &["--any", "-w", "/dev/full"], Start::default())?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    let output = tool.wait(std::time::Duration::from_secs(20))?;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("toa-tc: cannot write to /dev/full: No space left on device"),
        "{}",
        output.stderr
    );
    Ok(())
}
