//! `flows --existing` lists every connection of the kernel's table with the client that its server's socket
//! names, or with the reason why none is known. It refuses to run if it would change a server.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::net::UnixStream},
};

use anyhow::{Context as _, Result, ensure};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use toa_tests::{
    lab::{BALANCER, Lab, SERVER, marker::Habit, mounts, netns::Namespace, toa_module::ToaModule},
    peers::{
        client::{Bound, Connection, Request},
        nginx::Nginx,
    },
    tool::{
        attached,
        commands::as_nobody,
        seccomp,
        toa_tc::{self, Output, ToaTc},
    },
    wait,
};

fn lab() -> Result<(Lab, ToaModule)> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let module = ToaModule::load(&lab.server.namespace)?;
    Ok((lab, module))
}

fn client(number: u8, port: u16) -> SocketAddr {
    ([203, 0, 113, number], 40_000 + port).into()
}

fn client_ipv6(number: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number).into(), 40_000)
}

/// Runs the command. Returns its rows, all of which must be valid, and its stderr.
fn existing(namespace: &Namespace, rules: &[&str]) -> Result<(Vec<Value>, String)> {
    let output =
        ToaTc::run(namespace, &[&["flows", "--existing", "-o", "json"], rules].concat())?.worked()?;
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/commands.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(schema.is_valid(&row), "{line}");
        let is_there = |name: &str| row.get(name).is_some_and(|value| !value.is_null());
        ensure!(is_there("reason") == is_there("explanation"), "{line}");
        Ok(row)
    };
    Ok((output.stdout.lines().map(row).collect::<Result<_>>()?, output.stderr))
}

fn address(value: &Value) -> Option<SocketAddr> {
    let address = value["address"].as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, value["port"].as_u64()?.try_into().ok()?))
}

/// Returns this host's side and the balancer's side of each established connection, as `ss` shows them.
fn ss(namespace: &Namespace) -> Result<BTreeSet<(SocketAddr, SocketAddr)>> {
    let text = namespace.output("ss", &["-tnH", "state", "established"])?;
    let row = |line: &str| -> Result<_> {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let mut address = || -> Result<SocketAddr> { Ok(fields.next().context("no address")?.parse()?) };
        Ok((address()?, address()?))
    };
    text.lines().map(|line| row(line).with_context(|| line.to_owned())).collect()
}

#[test]
fn every_row_of_ss_has_its_real_client() -> Result<()> {
    let (lab, mut module) = lab()?;
    let nginx = lab.nginx()?;
    let mut expected = BTreeMap::new();
    let mut connections: Vec<Connection> = Vec::new();
    for number in 0..200_u16 {
        let client = if number.is_multiple_of(10) {
            client_ipv6(number)
        } else {
            client(u8::try_from(number % 9)?, number)
        };
        let mut connection = lab.connect_unmarked(&mut module, client)?;
        connection.ask(Request::get("/"))?;
        expected.insert((connection.server(), connection.local()), client);
        connections.push(connection);
    }
    let (rows, said) = existing(&lab.server.namespace, &[])?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let client = address(&row["client"]).context("no client")?;
        let server = address(&row["server"]).context("no server")?;
        let peer = address(&row["network"]["peer"]).context("no peer")?;
        assert_eq!((row["named_by"].as_str(), &row["reason"]), (Some("getpeername"), &Value::Null));
        assert!(row["idle_ns"].is_u64());
        assert_eq!(row["process"]["executable"]["name"], "nginx");
        let pid = row["process"]["pid"].as_u64().context("no process")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        assert!(status.contains(&format!("\nPPid:\t{}\n", nginx.id())), "no worker: {status}");
        found.insert((server, peer), client);
    }
    assert_eq!(rows.len(), 200);
    assert_eq!(found, expected);
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), ss(&lab.server.namespace)?);
    assert_eq!(said.lines().next(), Some("toa-tc: 200 established connections: 200 with a known client"));

    let (rows, _) = existing(&lab.server.namespace, &["203.0.113.3", "2001:db8::/124"])?;
    let wanted = |client: &SocketAddr| client.ip().to_string() == "203.0.113.3" || client.is_ipv6();
    let wanted = expected.values().filter(|client| wanted(client)).filter(|client| {
        let SocketAddr::V6(client) = client else { return true };
        client.ip().segments()[7] < 16
    });
    assert_eq!(rows.len(), wanted.count());

    let text = ToaTc::run(&lab.server.namespace, &["flows", "--existing"])?.succeeded()?.stdout;
    assert_eq!(text.lines().count(), 201, "{text}");
    for ((server, peer), client) in &expected {
        let start = |line: &str| line.split_ascii_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
        let wanted = [client, peer, server].map(ToString::to_string);
        assert!(text.lines().any(|line| start(line) == wanted), "{wanted:?} is missing: {text}");
    }
    Ok(())
}

/// Counts the rows by reason, or by `named_by` if they have a client.
fn reasons(rows: &[Value]) -> BTreeMap<String, u32> {
    let mut reasons = BTreeMap::new();
    for row in rows {
        let name = row["reason"].as_str().or(row["named_by"].as_str()).unwrap_or("none");
        *reasons.entry(name.to_owned()).or_default() += 1;
    }
    reasons
}

#[test]
fn what_is_not_known_has_its_reason() -> Result<()> {
    let (lab, mut module) = lab()?;
    let (_nginx, _abroad) = (lab.nginx()?, Nginx::start(&lab.balancer.namespace)?);
    let namespace = &lab.server.namespace;
    let connect =
        |port| Bound::new(&lab.balancer.namespace, (BALANCER, 0).into())?.connect((SERVER, port).into());
    let listen = |port| namespace.run(|| Ok(TcpListener::bind((SERVER, port))?));

    // A client that the socket's peer address names, and an IPv6 client that only the module's socket option
    // names.
    let _named = lab.connect_unmarked(&mut module, client(1, 1))?;
    let bound = lab.bind()?;
    let SocketAddr::V6(ipv6) = client_ipv6(7) else { unreachable!("an IPv6 address") };
    module.name_nat64_client(bound.local(), ipv6)?;
    let nat64 = bound.connect((SERVER, 80).into())?;
    // A connection whose client is unknown.
    let mut unknown = connect(80)?;
    unknown.ask(Request::get("/"))?;
    // A connection that is not accepted.
    let _queue = listen(81)?;
    let _queued = connect(81)?;
    // A connection in transit between two processes, without a descriptor.
    let listener = listen(82)?;
    let _sent = connect(82)?;
    let accepted = namespace.run(|| Ok(listener.accept()?.0))?;
    let (outbox, _inbox) = UnixStream::pair()?;
    send(&outbox, accepted)?;
    // A connection that this host has opened.
    let abroad = lab.balancer.namespace.run(|| Ok(TcpListener::bind((BALANCER, 84))?))?;
    let _out = namespace.run(|| Ok(TcpStream::connect((BALANCER, 84))?))?;
    let _in = abroad.accept()?;

    let (rows, said) = wait::until("nginx to accept", || {
        let (rows, said) = existing(namespace, &[])?;
        Ok((reasons(&rows).get("queued") == Some(&1)).then_some((rows, said)))
    })?;
    let expected = [
        ("connected_out", 1),
        ("getpeername", 1),
        ("nat64", 1),
        ("peer_only", 1),
        ("queued", 1),
        ("unseen", 1),
    ];
    assert_eq!(reasons(&rows), expected.map(|(name, count)| (name.to_owned(), count)).into(), "{said}");
    let of_nat64 = rows.iter().find(|row| row["named_by"] == "nat64").context("no row")?;
    assert_eq!(address(&of_nat64["client"]), Some(SocketAddrV6::into(ipv6)));
    assert_eq!(address(&of_nat64["network"]["peer"]), Some(nat64.local()));
    let line = "toa-tc: 6 established connections: 2 with a known client; 1 unknown: the socket names only its peer; \
                1 not accepted yet; 1 owner process not visible; 1 outbound (local ephemeral port)";
    assert!(said.lines().next().is_some_and(|first| first.starts_with(line)), "{said}");
    // A process in the balancer's namespace has connections, too.
    assert!(said.contains("toa-tc: not scanned: "), "{said}");
    Ok(())
}

/// Sends a socket away and closes the local descriptor.
fn send(through: &UnixStream, socket: TcpStream) -> Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd()];
    ensure!(control.push(SendAncillaryMessage::ScmRights(&descriptors)), "no room for a descriptor");
    sendmsg(through, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}

#[test]
fn a_socket_for_both_families_names_its_ipv4_client() -> Result<()> {
    let (lab, mut module) = lab()?;
    let namespace = &lab.server.namespace;
    let listener = namespace.run(|| Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, 8080))?))?;
    let bound = lab.bind()?;
    module.name_client(bound.local(), client(5, 5))?;
    let connection = bound.connect((SERVER, 8080).into())?;
    let _accepted = listener.accept()?;
    let (rows, _) = existing(namespace, &[])?;
    assert_eq!(rows.len(), 1);
    assert_eq!(address(&rows[0]["client"]), Some(client(5, 5)));
    assert_eq!(address(&rows[0]["network"]["peer"]), Some(connection.local()));
    assert_eq!(address(&rows[0]["server"]), Some((SERVER, 8080).into()));
    Ok(())
}

#[test]
fn a_server_that_listens_no_more_still_names_its_clients() -> Result<()> {
    let (lab, mut module) = lab()?;
    let namespace = &lab.server.namespace;
    let listener = namespace.run(|| Ok(TcpListener::bind((SERVER, 80))?))?;
    let _connection = lab.connect_unmarked(&mut module, client(5, 5))?;
    let _accepted = listener.accept()?;
    drop(listener);
    let (rows, _) = existing(namespace, &[])?;
    assert_eq!(rows.len(), 1);
    assert_eq!(address(&rows[0]["client"]), Some(client(5, 5)));
    Ok(())
}

/// Runs `flows --existing` while the kernel refuses a system call.
fn without(lab: &Lab, call: libc::c_long, error: libc::c_int) -> Result<(Option<i32>, String, String)> {
    let mut command = lab.server.namespace.command(toa_tc::binary()?);
    command.args(["flows", "--existing"]);
    seccomp::refuse(&mut command, call, error)?;
    let output = command.output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[test]
fn what_the_kernel_refuses_is_said() -> Result<()> {
    let (lab, mut module) = lab()?;
    let _nginx = lab.nginx()?;
    let mut connection = lab.connect_unmarked(&mut module, client(1, 1))?;
    connection.ask(Request::get("/"))?;

    let (code, stdout, stderr) = without(&lab, libc::SYS_pidfd_getfd, libc::EPERM)?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.lines().any(|line| line.ends_with("no permission to query the owner")), "{stdout}");
    let line = "toa-tc: 1 established connection: 0 with a known client; 1 no permission to query the owner";
    assert_eq!(stderr.lines().next(), Some(line));

    // Descriptors that cannot be listed.
    let (code, stdout, stderr) = without(&lab, libc::SYS_readlinkat, libc::EACCES)?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.lines().any(|line| line.ends_with("owner process not visible")), "{stdout}");
    let line = stderr.lines().next().context("no line")?;
    assert!(line.contains("no permission to list the descriptors of "), "{stderr}");

    // As on a kernel before 5.6.
    let (code, _, stderr) = without(&lab, libc::SYS_pidfd_getfd, libc::ENOSYS)?;
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("(pidfd_getfd, Linux 5.6): Function not implemented"), "{stderr}");
    Ok(())
}

#[test]
fn that_no_socket_knows_better_is_explained() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let mut connection = lab.bind()?.connect((SERVER, 80).into())?;
    connection.ask(Request::get("/"))?;
    let (rows, said) = existing(&lab.server.namespace, &[])?;
    assert_eq!(reasons(&rows), [("peer_only".to_owned(), 1)].into());
    assert_eq!(rows[0]["client"], Value::Null);
    assert!(said.contains("no socket knows a real client: no TOA module is loaded"), "{said}");
    let tool = ToaTc::attach(&lab.server, &["--existing", "--any"])?;
    wait::until("the explanation", || Ok(tool.stderr()?.contains("no TOA module is loaded").then_some(())))?;
    Ok(())
}

/// Checks that a command was refused in one line that contains `reason`.
fn check(output: &Output, reason: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains(reason), "{reason} is missing: {}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

#[test]
fn without_the_right_to_look_into_processes_it_is_refused() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let namespace = &lab.server.namespace;
    for (capabilities, reason) in [
        ("--bounding-set=-sys_ptrace", "CAP_SYS_PTRACE is missing"),
        ("--bounding-set=-dac_read_search,-dac_override", "CAP_DAC_READ_SEARCH is missing"),
    ] {
        let wrapper = ["setpriv", capabilities];
        let run = |arguments: &[&str]| ToaTc::run_through(namespace, &wrapper, &toa_tc::binary()?, arguments);
        check(&run(&["flows", "--existing"])?, reason);
        check(&run(&["attach", "web0", "--any", "--existing"])?, reason);
        let doctor = run(&["doctor"])?.succeeded()?.stdout;
        assert!(
            doctor
                .lines()
                .any(|line| line.starts_with("warn  existing connections: ") && line.contains(reason))
        );
    }
    check(&as_nobody(namespace, &["flows", "--existing"])?, "both are missing");
    assert_eq!(attached::on(&lab.server)?, []);
    let doctor = ToaTc::run(namespace, &["doctor"])?.stdout;
    assert!(doctor.contains("ok    existing connections: the servers' sockets can be queried"), "{doctor}");
    Ok(())
}

#[test]
fn where_sockets_would_change_their_class_it_is_refused_unless_forced() -> Result<()> {
    for controller in ["net_cls", "net_prio"] {
        mounts::with_cgroup_hierarchy(controller, |place| {
            let (lab, mut module) = lab()?;
            let _nginx = lab.nginx()?;
            let _connection = lab.connect_unmarked(&mut module, client(1, 1))?;
            let run = |arguments: &[&str]| ToaTc::run(&lab.server.namespace, arguments);
            let reason = format!("cgroup-v1 hierarchy at {}", place.display());
            check(&run(&["flows", "--existing"])?, &reason);
            check(&run(&["attach", "web0", "--any", "--existing"])?, &reason);
            assert_eq!(attached::on(&lab.server)?, []);
            let forced = wait::until("nginx to accept", || {
                let forced = run(&["flows", "--existing=force"])?.succeeded()?;
                Ok(forced.stderr.contains("1 with a known client").then_some(forced))
            })?;
            assert!(forced.stdout.contains("203.0.113.1:40001"), "{}", forced.stdout);
            Ok(())
        })?;
    }
    Ok(())
}
