//! A stranger's session: three commands from an unknown host to the team that still calls it.
#![cfg(feature = "kernel")]

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, mounts, veth::Device},
    peers::client::{Connection, Request},
    process::Signal,
    recording::sessions::record,
    tool::toa_tc::{Output, Start, ToaTc},
};

const PAYMENTS: IpAddr = IpAddr::V4(Ipv4Addr::new(120, 120, 111, 111));
const SEARCH: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// Connections of the team that is looked for.
const CONNECTIONS: usize = 3;

fn ask(connection: &mut Connection, team: &str) -> Result<()> {
    for path in ["/orders", "/orders/7"] {
        connection.ask(Request::get(path).field("x-team", team))?;
    }
    Ok(())
}

/// Runs a command until `talk` has returned.
fn run(
    device: &Device,
    command: &str,
    options: &[&str],
    talk: impl FnOnce() -> Result<()>,
) -> Result<Output> {
    let tool = ToaTc::attach_as(device, options, Start { command: Some(command), ..Start::default() })?;
    talk()?;
    tool.stop(Signal::Interrupt)?.succeeded()
}

/// Returns the requests and connections in the row that begins with these values.
fn counts(output: &Output, values: &[&str]) -> Result<(u64, u64)> {
    let rows = output.stdout.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut counts = rows.filter_map(|row| match row.strip_prefix(values)? {
        // The times have a space each.
        [requests, connections, _, _, _, _] => Some((*requests, *connections)),
        _ => None,
    });
    let (requests, connections) =
        counts.next().with_context(|| format!("no row {values:?}: {}", output.stdout))?;
    Ok((requests.parse()?, connections.parse()?))
}

#[test]
fn three_commands_name_the_team_that_still_calls() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Balancer::new(Habit::SynAndEarly, &[PAYMENTS, SEARCH])?;
        let _nginx = lab.nginx()?;
        let talk = || {
            (0..CONNECTIONS).try_for_each(|_| ask(&mut lab.connect(PAYMENTS)?, "payments"))?;
            ask(&mut lab.connect(SEARCH)?, "search")
        };
        ToaTc::run(&lab.server.namespace, &["doctor"])?.succeeded()?;
        let client = PAYMENTS.to_string();
        let clients = run(&lab.server, "clients", &[], talk)?;
        assert_eq!(counts(&clients, &[&client])?, (6, 3), "{}", clients.stdout);
        let options = [
            "--ip",
            &client,
            "-o",
            "oneline",
            "--header",
            "x-team",
            "--once-by",
            "header:x-team",
            "--summary-by",
            "header:x-team",
        ];
        let teams = run(&lab.server, "attach", &options, talk)?;
        assert_eq!(counts(&teams, &["payments"])?, (6, 3), "{}", teams.stdout);
        let printed: Vec<_> = teams.stdout.lines().filter(|line| line.contains(" HTTP/1.1")).collect();
        ensure!(matches!(printed[..], [line] if line.ends_with(" x-team=payments")), "{}", teams.stdout);
        Ok(())
    })
}

#[test]
fn the_recorded_sessions_show_what_the_commands_print_now() -> Result<()> {
    for recording in record()? {
        let path = recording.path();
        ensure!(recording.is_up_to_date()?, "{} is out of date: cargo xtask sessions", path.display());
    }
    Ok(())
}

#[test]
fn without_toa_the_team_is_named_by_its_header() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    // It is open before, and nothing names its client.
    let mut old = lab.connect(None)?;
    let options = ["--any-flow", "--server-port", "80", "--summary-by", "client,header:x-team"];
    let device = lab.server.clone();
    let teams = run(&device, "attach", &options, || {
        ask(&mut old, "payments")?;
        (1..CONNECTIONS).try_for_each(|_| ask(&mut lab.connect(None)?, "payments"))
    })?;
    assert_eq!(counts(&teams, &["-", "payments"])?, (6, 3), "{}", teams.stdout);
    Ok(())
}
