//! Output is harmless to a terminal, has no secret values, and has each request as soon as it is complete.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::{Output, ToaTc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Sends a request and returns what is printed.
fn print(request: Request) -> Result<Output> {
    print_with(&["--any"], request)
}

/// Does the same with other arguments of the tool.
fn print_with(arguments: &[&str], request: Request) -> Result<Output> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, arguments)?;
    lab.connect(Some(CLIENT.into()))?.ask(request)?;
    tool.stop(Signal::Interrupt)?.succeeded()
}

#[test]
fn what_a_terminal_would_obey_is_escaped() -> Result<()> {
    let value = "a\u{1b}[2J\u{1b}]0;title\u{7}b\u{7f}c\u{9b}31md";
    let output = print(Request::get("/").field("x-note", value).field("x-team", "zürich"))?;
    let requests = output.requests()?;
    assert_eq!(requests.len(), 1);
    let note = requests[0].field("x-note").with_context(|| format!("no x-note in {}", output.stdout))?;
    assert!(note.starts_with(r"a\x1b[2J\x1b]0;title\x07b\x7fc"), "{note}");
    assert!(note.ends_with("31md"), "{note}");
    assert_eq!(requests[0].field("x-team"), Some("zürich"));
    let obeyed = |text: &str| text.chars().any(|char| char.is_control() && char != '\n');
    assert!(!obeyed(&output.stdout), "{:?}", output.stdout);
    assert!(!obeyed(&output.stderr), "{:?}", output.stderr);
    Ok(())
}

#[test]
fn secrets_are_not_printed() -> Result<()> {
    let request = Request::get("/")
        .field("authorization", "Bearer 7f3a-hidden")
        .field("proxy-authorization", "Basic hidden-too")
        .field("cookie", "session=hidden-as-well")
        .field("x-team", "payments");
    let output = print(request)?;
    assert!(!output.stdout.contains("hidden"), "{}", output.stdout);
    assert!(!output.stderr.contains("hidden"), "{}", output.stderr);
    let requests = output.requests()?;
    assert_eq!(requests[0].field("x-team"), Some("payments"));
    assert!(requests[0].field("authorization").is_some_and(|value| value.starts_with("Bearer ")));
    Ok(())
}

#[test]
fn secrets_are_printed_when_asked_for() -> Result<()> {
    let request = Request::get("/?token=7f3a").field("authorization", "Bearer 7f3a").field("cookie", "a=b");
    let requests = print_with(&["--any", "--show-secrets"], request)?.requests()?;
    assert_eq!(requests[0].target, "/?token=7f3a");
    assert_eq!(requests[0].field("authorization"), Some("Bearer 7f3a"));
    assert_eq!(requests[0].field("cookie"), Some("a=b"));
    Ok(())
}

#[test]
fn curl_is_printed_like_any_other() -> Result<()> {
    let mut lab = Lab::new(Habit::Early)?;
    let nginx = lab.nginx()?;
    let client = SocketAddr::from(CLIENT);
    lab.marker.assign_next([toa_option(client).as_slice()])?;
    let tool = ToaTc::attach(&lab.server, &["--ip", &client.ip().to_string()])?;
    let url = |path: &str| format!("http://{}/{path}", nginx_address());
    let team = ["-sS", "-H", "x-team: payments"];
    lab.balancer.namespace.output("curl", &[&team[..], &[&url("first"), &url("second?q=1")]].concat())?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let requests = output.requests()?;
    let targets: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/first", "/second?q=1"]);
    for (request, logged) in requests.iter().zip(&logged) {
        assert_eq!((request.client, request.via), (client, logged.peer));
        assert_eq!(request.field("x-team"), Some("payments"));
        assert!(request.field("user-agent").is_some_and(|agent| agent.starts_with("curl/")));
    }
    Ok(())
}

#[test]
fn a_request_is_printed_while_its_connection_lives() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    for number in 0..3 {
        let target = format!("/{number}");
        connection.ask(Request::get(&target))?;
        wait::until("the request to be printed", || {
            Ok(tool.stdout()?.contains(&format!("GET {target} HTTP/1.1")).then_some(()))
        })?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 3);
    Ok(())
}

#[test]
fn one_line_says_what_is_attached() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "--ip", "203.0.113.10:80"])?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let lines = output.stderr.lines().filter(|line| line.starts_with("toa-tc: attached to web0 ("));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    assert!(lines[0].ends_with(", 2 rules"), "{}", lines[0]);
    Ok(())
}

#[test]
fn a_port_that_this_host_listens_on_is_hinted_at() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let port = nginx_address().port().to_string();
    for (arguments, expected) in [
        (["--ip", "203.0.113.9", "--port", &port], 1),
        (["--any", "--ip", "203.0.113.9", "--port=54321"], 0),
        (["--ip", ":54321", "--ip", &format!(":{port}")], 1),
    ] {
        let output = ToaTc::attach(&lab.server, &arguments)?.stop(Signal::Interrupt)?.succeeded()?;
        let hint = format!("toa-tc: this host listens on port {port}, ");
        let lines = output
            .stderr
            .lines()
            .filter(|line| line.starts_with(&hint) && line.contains(&format!("--server-port {port}")));
        assert_eq!(lines.count(), expected, "{arguments:?}: {}", output.stderr);
        assert_eq!(output.stderr.matches("listens").count(), expected, "{arguments:?}: {}", output.stderr);
    }
    Ok(())
}

#[test]
fn diagnostics_of_both_sides_come_only_when_asked_for() -> Result<()> {
    for (arguments, level) in [(&["--any", "-q"][..], 0), (&["--any", "-v"], 1), (&["--any", "-vv"], 2)] {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, arguments)?;
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        connection.ask(Request::get("/"))?;
        let (client, local) = (SocketAddr::from(CLIENT), connection.local());
        let lines = [
            // From the kernel program, and from user space.
            (2, format!("a watched client's connection from port {}", local.port())),
            (1, " possible CPUs".to_owned()),
            (2, format!("toa-tc: trace: {client} > {} (via {local}): open", nginx_address())),
        ];
        for (_, line) in lines.iter().filter(|(least, _)| level >= *least) {
            wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        for (least, line) in &lines {
            assert_eq!(output.stderr.contains(line), level >= *least, "{arguments:?}: {}", output.stderr);
        }
        assert_eq!(output.requests()?.len(), 1);
    }
    Ok(())
}
