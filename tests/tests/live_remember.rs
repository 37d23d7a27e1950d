//! `remember` notes the clients of new connections in the kernel, at no cost per packet, and `forget` leaves nothing.
//! Each test's server runs in a cgroup of its own.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, mounts, nginx_address},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        commands::objects,
        remember::{Site, alone, client, named, path, remember, runs},
        toa_tc::{Output, ToaTc},
    },
    wait,
};

/// Connections each of marked and unmarked clients.
const EACH: u16 = 1_000;

/// Returns how often the program ran while the kernel counted.
fn counted() -> Result<u64> {
    runs()?.context("the program is not loaded")
}

/// Lets each connection send a request with its number.
fn ask_all(connections: &mut [Connection], what: &str) -> Result<()> {
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.ask(Request::get(&format!("/{what}/{number}")))?;
    }
    Ok(())
}

/// Checks that the rows name the client of each connection, or that none is known.
fn check(rows: &BTreeMap<u64, Value>, connections: &[Connection], is_marked: bool) -> Result<()> {
    for (number, connection) in (0..).zip(connections) {
        let row = rows.get(&connection.local().port().into()).context("a connection is missing")?;
        let expected = is_marked.then(|| client(number));
        ensure!(named(row) == expected, "{expected:?} expected: {row}");
        let named_by = is_marked.then_some("remembered");
        ensure!(row["named_by"].as_str() == named_by, "{row}");
    }
    Ok(())
}

#[test]
fn every_marked_client_is_named_later_and_no_packet_costs_a_run() -> Result<()> {
    alone(|| {
        let mut site = Site::new(Habit::Early)?;
        // The kernel stops counting when this descriptor is closed.
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let before = counted()?;
        let mut with = site.connect(EACH, |number| Some(client(number)))?;
        let of_marked = counted()? - before;
        let mut without = site.connect(EACH, |_| None)?;
        ask_all(&mut with, "first")?;
        ask_all(&mut without, "first")?;
        let opened = counted()?;
        println!(
            "program runs: {of_marked} for {EACH} marked connections, {} for {EACH} unmarked ones",
            opened - before - of_marked
        );
        let per_connection = (opened - before) / u64::from(2 * EACH);
        assert!((1..=5).contains(&per_connection), "{per_connection} runs for each connection");

        for _ in 0..5 {
            ask_all(&mut with, "later")?;
            ask_all(&mut without, "later")?;
        }
        let later = counted()? - opened;
        println!("program runs: {later} for {} requests on them", u32::from(EACH) * 2 * 5);
        assert_eq!(later, 0);

        let rows = site.rows()?;
        check(&rows, &with, true)?;
        check(&rows, &without, false)?;

        let tool = ToaTc::attach(&site.lab.server, &["--existing", "--any", "-o", "json"])?;
        let line = "open connections: following 1,000 of 2,000 (1,000 with a known client";
        wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))
            .with_context(|| tool.stderr().unwrap_or_default())?;
        ask_all(&mut with, "watched")?;
        ask_all(&mut without, "unwatched")?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let mut found = BTreeSet::new();
        for line in output.stdout.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["event"] == "request" {
                assert_eq!(event["toa"]["learned_from"], "remembered", "{line}");
                assert_eq!((&event["toa"]["kind"], &event["toa"]["length"]), (&254.into(), &8.into()));
                let target = event["url"]["path"].as_str().context("no path")?.to_owned();
                assert!(found.insert((target, named(&event).context("no client")?)), "twice: {line}");
            }
        }
        let expected = (0..EACH).map(|number| (format!("/watched/{number}"), client(number)));
        assert_eq!(found, expected.collect());

        let status = objects(&site.lab.server.namespace, &["status", "-o", "json"])?;
        let expected = json!({ "accepted": 2_000, "named": 1_000, "given_up": 0, "failed": 0 });
        assert_eq!(status.first().context("no status")?["remember"], expected);
        let said = site.forget()?;
        assert_eq!(said, "toa-tc: forgotten: the clients of 1,000 of 2,000 connections were noted\n");
        assert!(mounts::pins()?.is_empty(), "{:?}", mounts::pins()?);
        wait::until("the program to be unloaded", || Ok(runs()?.is_none().then_some(())))?;
        let rows = site.rows()?;
        check(&rows, &without, false)?;
        assert!(rows.values().all(|row| row["named_by"].is_null()));
        ask_all(&mut with, "afterwards")
    })
}

/// Opens connections with a balancer's habit, and checks what is remembered and that later packets cost no run.
fn remembers_habit(habit: Habit) -> Result<()> {
    alone(|| {
        const COUNT: u16 = 20;
        let mut site = Site::new(habit)?;
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let mut connections = site.connect(COUNT, |number| Some(client(number)))?;
        ask_all(&mut connections, "first")?;
        let opened = counted()?;
        for _ in 0..20 {
            ask_all(&mut connections, "later")?;
        }
        let later = counted()? - opened;
        println!("{habit:?}: {opened} program runs for {COUNT} connections, {later} for 400 requests");
        assert_eq!(later, 0);
        // The program sees no SYN.
        check(&site.rows()?, &connections, habit != Habit::Syn)?;
        site.forget()?;
        Ok(())
    })
}

#[test]
fn no_client_is_remembered_where_only_the_syn_is_marked() -> Result<()> {
    remembers_habit(Habit::Syn)
}

#[test]
fn a_client_is_remembered_where_the_syn_and_early_packets_are_marked() -> Result<()> {
    remembers_habit(Habit::SynAndEarly)
}

#[test]
fn a_client_is_remembered_where_early_packets_are_marked() -> Result<()> {
    remembers_habit(Habit::Early)
}

#[test]
fn a_client_is_remembered_where_the_handshake_ack_is_marked() -> Result<()> {
    remembers_habit(Habit::HandshakeAck)
}

#[test]
fn a_client_is_remembered_where_the_first_data_is_marked() -> Result<()> {
    remembers_habit(Habit::FirstData)
}

#[test]
fn connections_of_ipv6_and_those_that_are_not_accepted_yet_are_remembered() -> Result<()> {
    alone(|| {
        let mut site = Site::new(Habit::Early)?;
        let namespace = site.lab.server.namespace.clone();
        let ipv6: SocketAddr = "[2001:db8::7]:40000".parse()?;
        let over_ipv6 = site.lab.connect_over(true, &toa_option(ipv6))?;
        let queue = site.cgroup.run(|| namespace.run(|| Ok(TcpListener::bind("0.0.0.0:90")?)))?;
        let bound = site.lab.bind()?;
        site.lab.marker.assign(bound.local(), &toa_option(client(1)))?;
        let queued = bound.connect((nginx_address().ip(), 90).into())?;
        let rows = site.rows()?;
        for (connection, expected) in [(&over_ipv6, ipv6), (&queued, client(1))] {
            let row = rows.get(&connection.local().port().into()).context("a connection is missing")?;
            assert_eq!((named(row), row["named_by"].as_str()), (Some(expected), Some("remembered")));
        }
        drop(queue);
        site.forget()?;
        Ok(())
    })
}

#[test]
fn only_the_chosen_options_and_the_cgroups_servers_count() -> Result<()> {
    alone(|| {
        let (mut lab, cgroup) = (Lab::new(Habit::SynAndEarly)?, Cgroup::new()?);
        let namespace = lab.server.namespace.clone();
        remember(&lab, &["--cgroup", path(&cgroup)?, "--toa", "200:8"])?.succeeded()?;
        let _nginx = cgroup.run(|| lab.nginx())?;
        let outside = namespace.run(|| Ok(TcpListener::bind("0.0.0.0:90")?))?;

        let mut option = toa_option(client(1));
        let other = lab.connect_over(false, &option)?;
        let kind = option.first_mut().context("an empty option")?;
        *kind = 200;
        let chosen = lab.connect_over(false, &option)?;
        let bound = lab.bind()?;
        lab.marker.assign(bound.local(), &option)?;
        let elsewhere = bound.connect((nginx_address().ip(), 90).into())?;
        let _accepted = outside.accept()?;
        let rows = objects(&namespace, &["flows", "--existing", "-o", "json"])?;
        let named_by = |connection: &Connection| -> Result<Option<String>> {
            let port = connection.local().port();
            let row = rows.iter().find(|row| row["network"]["peer"]["port"] == port).context("no row")?;
            Ok(row["named_by"].as_str().map(str::to_owned))
        };
        assert_eq!(named_by(&chosen)?.as_deref(), Some("remembered"));
        assert_eq!(named_by(&other)?, None);
        assert_eq!(named_by(&elsewhere)?, None);
        ToaTc::run(&namespace, &["forget"])?.succeeded()?;
        Ok(())
    })
}

#[test]
fn without_a_cgroup_all_servers_count() -> Result<()> {
    alone(|| {
        let mut lab = Lab::new(Habit::Early)?;
        let said = remember(&lab, &[])?.succeeded()?.stderr;
        ensure!(
            said.starts_with("toa-tc: remembering the clients of new connections to servers in /sys/"),
            "{said}"
        );
        let _nginx = lab.nginx()?;
        let _connection = lab.connect(Some(client(7)))?;
        let rows = objects(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
        assert_eq!(rows.iter().map(named).collect::<Vec<_>>(), [Some(client(7))]);
        ToaTc::run(&lab.server.namespace, &["forget"])?.succeeded()?;
        Ok(())
    })
}

#[test]
fn remember_and_forget_print_objects_by_the_schema() -> Result<()> {
    alone(|| {
        let lab = Lab::new(Habit::Early)?;
        let cgroup = Cgroup::new()?;
        let schema = include_str!("../../toa-userspace/schema/commands.schema.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema)?)?;
        let object = |output: Output| -> Result<Value> {
            let value = serde_json::from_str(&output.succeeded()?.stdout)?;
            ensure!(schema.is_valid(&value), "{value}");
            Ok(value)
        };
        let path = path(&cgroup)?;
        let arguments = ["--cgroup", path, "--toa", "254:8", "-o", "json"];
        let remembering = object(remember(&lab, &arguments)?)?;
        assert_eq!(remembering, json!({ "cgroup": path, "toa": [{ "kind": 254, "length": 8 }] }));
        let forget = || object(ToaTc::run(&lab.server.namespace, &["forget", "-o", "json"])?);
        let counts = json!({ "accepted": 0, "named": 0, "given_up": 0, "failed": 0 });
        assert_eq!(forget()?, json!({ "forgotten": counts }));
        assert_eq!(forget()?, json!({ "forgotten": null }));
        Ok(())
    })
}

#[test]
fn unknown_options_without_toa_are_given_up() -> Result<()> {
    alone(|| {
        let mut site = Site::new(Habit::SynAndEarly)?;
        let namespace = site.lab.server.namespace.clone();
        let silent = site.cgroup.run(|| namespace.run(|| Ok(TcpListener::bind("0.0.0.0:90")?)))?;
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let bound = site.lab.bind()?;
        site.lab.marker.assign(bound.local(), &[252, 4, 1, 2])?;
        let mut connection = bound.connect((nginx_address().ip(), 90).into())?;
        let _accepted = silent.accept()?;
        // All are early packets, because the server answers nothing. So each has the option.
        for _ in 0..100 {
            connection.stream().write_all(b"x")?;
            connection.wait_for_acknowledgment()?;
        }
        let runs = counted()?;
        println!("program runs: {runs} for a connection with 100 packets that have an unknown option");
        assert_eq!(runs, 4 + 16);
        check(&site.rows()?, &[connection], false)?;
        let said = site.forget()?;
        assert!(
            said.contains("the clients of 0 of 1 connection were noted; 1 had unknown options, but no TOA"),
            "{said}"
        );
        Ok(())
    })
}

/// Returns what two ends have agreed on: TCP options and segment sizes.
fn agreement(connection: &mut Connection) -> Result<[u32; 3]> {
    // SAFETY: all zeros is a valid value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>())?;
    // SAFETY: both pointers refer to values of the given sizes.
    let result = unsafe {
        libc::getsockopt(
            connection.stream().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    ensure!(result == 0, "TCP_INFO: {}", std::io::Error::last_os_error());
    Ok([info.tcpi_options.into(), info.tcpi_snd_mss, info.tcpi_advmss])
}

#[test]
fn connections_are_as_they_would_be_without_it() -> Result<()> {
    alone(|| {
        let (mut lab, cgroup) = (Lab::new(Habit::Early)?, Cgroup::new()?);
        let mut agreements = BTreeSet::new();
        for is_on in [false, true] {
            if is_on {
                remember(&lab, &["--cgroup", path(&cgroup)?])?.succeeded()?;
            }
            // Listens after `remember`.
            let nginx = cgroup.run(|| lab.nginx())?;
            for client in [None, Some(client(1))] {
                let mut connection = lab.connect(client)?;
                agreements.insert((client.is_some(), agreement(&mut connection)?));
                connection.ask(Request::get("/"))?;
                let local = connection.local();
                drop(connection);
                wait::until("the log", || Ok(nginx.log()?.iter().any(|it| it.peer == local).then_some(())))?;
            }
        }
        assert_eq!(agreements.len(), 2, "{agreements:?}");
        ToaTc::run(&lab.server.namespace, &["forget"])?.succeeded()?;
        Ok(())
    })
}

#[test]
fn what_cannot_be_remembered_or_forgotten_is_one_line() -> Result<()> {
    alone(|| {
        let (lab, cgroup) = (Lab::new(Habit::Early)?, Cgroup::new()?);
        let run = |arguments: &[&str]| -> Result<_> {
            let Output { status, stderr, .. } = ToaTc::run(&lab.server.namespace, arguments)?;
            ensure!(stderr.lines().count() == 1, "{stderr}");
            Ok((status.code(), stderr))
        };
        let (code, said) = run(&["forget"])?;
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "toa-tc: nothing to forget: toa-tc remember is not in effect\n")
        );
        for (wrong, cause) in
            [("/proc", "/proc is no cgroup"), ("/no/such", "cannot open the cgroup /no/such")]
        {
            let (code, said) = run(&["remember", "--cgroup", wrong])?;
            assert!(code == Some(2) && said.contains(cause), "{said}");
        }
        assert!(mounts::pins()?.is_empty());
        let (code, said) = run(&["remember", "--cgroup", path(&cgroup)?])?;
        assert!(code == Some(0) && said.contains("(TOA 254:8 254:20 253:20), until toa-tc forget"), "{said}");
        let (code, said) = run(&["remember", "--cgroup", path(&cgroup)?])?;
        assert!(code == Some(1) && said.contains("already being remembered"), "{said}");
        run(&["forget"])?;
        assert!(mounts::pins()?.is_empty());

        // What an interrupted process left is no obstacle and is removed.
        fs::create_dir_all("/sys/fs/bpf/toa-tc/remember")?;
        run(&["forget"])?;
        assert!(mounts::pins()?.is_empty());
        fs::create_dir_all("/sys/fs/bpf/toa-tc/remember")?;
        run(&["remember", "--cgroup", path(&cgroup)?])?;
        run(&["forget"])?;
        assert!(mounts::pins()?.is_empty());

        mounts::without_bpf_file_system(|| {
            let (code, said) = run(&["remember", "--cgroup", path(&cgroup)?])?;
            assert!(code == Some(1) && said.contains("no BPF file system"), "{said}");
            let (code, said) = run(&["forget"])?;
            assert!(code == Some(0) && said.contains("nothing to forget"), "{said}");
            Ok(())
        })
    })
}
