//! A second process changes the watched set: at once, in the selected run and in no other.
#![cfg(feature = "kernel")]

use std::{net::SocketAddr, thread};

use anyhow::{Context as _, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        commands::{as_nobody, find_nothing, succeed},
        toa_tc::{NOTHING_FOUND, Output, ToaTc},
    },
    wait,
};

const FIRST: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const SECOND: ([u8; 4], u16) = ([203, 0, 113, 10], 54322);

/// Exit codes of a failure and of a usage error.
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn ask(connection: &mut Connection, target: &str) -> Result<()> {
    connection.ask(Request::get(target))
}

fn targets(output: &Output) -> Result<Vec<(SocketAddr, String)>> {
    Ok(output.requests()?.into_iter().map(|request| (request.client, request.target)).collect())
}

fn pid(tool: &mut ToaTc) -> String {
    tool.process().child().id().to_string()
}

/// Checks that a command ended with this exit code and reported `reason`.
fn check(output: &Output, code: i32, reason: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", output.stderr);
    assert!(output.stderr.contains(reason), "{reason} is missing: {}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn attach_without_rules_starts_empty_and_says_how_to_add_one() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let tool = ToaTc::attach::<&str>(&lab.server, &[])?;
        find_nothing(&lab.server.namespace, &["watch", "list"])?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert!(output.stderr.contains("toa-tc watch add IP"), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn watch_add_shows_the_next_connection_and_remove_ends_following_at_once() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach::<&str>(&lab.server, &[])?;
        let namespace = lab.server.namespace.clone();
        let client = SocketAddr::from(FIRST);

        let mut before = lab.connect(Some(client))?;
        ask(&mut before, "/before")?;
        succeed(&namespace, &["watch", "add", "203.0.113.9"])?;
        let mut watched = lab.connect(Some(client))?;
        ask(&mut watched, "/watched")?;
        let mut other = lab.connect(Some(SECOND.into()))?;
        ask(&mut other, "/other")?;

        let output = ToaTc::run(&namespace, &["watch", "remove", "203.0.113.9"])?.succeeded()?;
        assert!(output.stderr.contains("1 connection dropped"), "{}", output.stderr);
        assert_eq!(find_nothing(&namespace, &["flows", "-o", "json"])?.stdout, "");
        ask(&mut watched, "/removed")?;
        ask(&mut lab.connect(Some(client))?, "/later")?;

        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&output)?, [(client, "/watched".to_owned())]);
        Ok(())
    })
}

#[test]
fn watch_remove_keeps_connections_that_another_rule_matches() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "--ip", "203.0.113.10"])?;
        let namespace = lab.server.namespace.clone();
        succeed(&namespace, &["watch", "add", ":54321"])?;
        let (mut first, mut second) = (lab.connect(Some(FIRST.into()))?, lab.connect(Some(SECOND.into()))?);
        for connection in [&mut first, &mut second] {
            ask(connection, "/both")?;
        }
        succeed(&namespace, &["watch", "remove", "203.0.113.9", "203.0.113.10"])?;
        for connection in [&mut first, &mut second] {
            ask(connection, "/one")?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let mut found = targets(&output)?;
        found.sort();
        let row = |client: ([u8; 4], u16), target: &str| (client.into(), target.to_owned());
        assert_eq!(found, [row(FIRST, "/both"), row(FIRST, "/one"), row(SECOND, "/both")]);
        Ok(())
    })
}

#[test]
fn watch_list_and_clear() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        let namespace = lab.server.namespace.clone();
        succeed(
            &namespace,
            &["watch", "add", "[2001:db8::7]:443", ":0", "any", "203.0.113.9", "203.0.113.9"],
        )?;
        assert_eq!(succeed(&namespace, &["watch", "list"])?, "203.0.113.9\n[2001:db8::7]:443\n:0\nany\n");
        let mut connection = lab.connect(Some(SECOND.into()))?;
        ask(&mut connection, "/any")?;
        succeed(&namespace, &["watch", "clear"])?;
        check(&find_nothing(&namespace, &["watch", "list"])?, NOTHING_FOUND, "nothing is watched (pid ");
        ask(&mut connection, "/cleared")?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&output)?, [(SECOND.into(), "/any".to_owned())]);
        Ok(())
    })
}

#[test]
fn watch_remove_of_what_is_not_there_says_so_and_removes_the_others() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let _tool = ToaTc::attach(&lab.server, &["--any", "--ip", "203.0.113.9"])?;
        let namespace = &lab.server.namespace;
        let output = ToaTc::run(namespace, &["watch", "remove", "any", "192.0.2.1"])?;
        check(&output, 0, "not watched: 192.0.2.1");
        assert_eq!(succeed(namespace, &["watch", "list"])?, "203.0.113.9\n");
        Ok(())
    })
}

#[test]
fn concurrent_changes_lose_no_shape() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach::<&str>(&lab.server, &[])?;
        let namespace = lab.server.namespace.clone();
        for round in 0..10 {
            // One command removes the last rule of a shape while the other adds one of another shape.
            succeed(&namespace, &["watch", "add", "192.0.2.1"])?;
            let [removed, added] =
                [["watch", "remove", "192.0.2.1"], ["watch", "add", ":54321"]].map(|command| {
                    let mut child = namespace.command(toa_tests::tool::toa_tc::binary()?);
                    Ok(child.args(command).stderr(std::process::Stdio::null()).spawn()?)
                });
            for child in [removed, added] {
                let mut child: std::process::Child = child.map_err(|error: anyhow::Error| error)?;
                assert!(child.wait()?.success());
            }
            assert_eq!(succeed(&namespace, &["watch", "list"])?, ":54321\n");
            ask(&mut lab.connect(Some(FIRST.into()))?, &format!("/{round}"))?;
            succeed(&namespace, &["watch", "remove", ":54321"])?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&output)?.len(), 10, "{}", output.stdout);
        Ok(())
    })
}

#[test]
fn many_rules_are_quick_and_a_full_set_is_one_error() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let _tool = ToaTc::attach(&lab.server, &["--any"])?;
        let namespace = &lab.server.namespace;
        let rule = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        // As many as fit on a command line.
        let add = |numbers: std::ops::Range<u32>| {
            let rules: Vec<_> =
                ["watch".to_owned(), "add".to_owned()].into_iter().chain(numbers.map(rule)).collect();
            ToaTc::run(namespace, &rules)
        };
        let begin = std::time::Instant::now();
        for part in 0..4 {
            add(part * 32_000..(part + 1) * 32_000)?.succeeded()?;
        }
        println!("128,000 addresses in {} ms by 4 commands", begin.elapsed().as_millis());
        let prefix =
            |number: u32| format!("{}/{}", std::net::Ipv4Addr::from(0xac00_0000 + (number << 8)), 24);
        let prefixes: Vec<_> =
            ["watch".to_owned(), "add".to_owned()].into_iter().chain((0..10_000).map(prefix)).collect();
        let begin = std::time::Instant::now();
        ToaTc::run(namespace, &prefixes)?.succeeded()?;
        println!("10,000 prefixes in {} ms by 1 command", begin.elapsed().as_millis());
        let full = add(200_000..204_000)?;
        check(&full, FAILED, "the watched set holds at most");
        assert_eq!(full.stderr.lines().count(), 1, "{}", full.stderr);
        // None of them was added.
        let count = || {
            Ok::<_, anyhow::Error>(
                ToaTc::run(namespace, &["watch", "list"])?.worked()?.stdout.lines().count(),
            )
        };
        assert_eq!(count()?, 138_001);
        let begin = std::time::Instant::now();
        succeed(namespace, &["watch", "clear"])?;
        println!("cleared in {} ms", begin.elapsed().as_millis());
        assert_eq!(count()?, 0);
        Ok(())
    })
}

#[test]
fn two_runs_on_one_interface_are_independent() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let namespace = lab.server.namespace.clone();
        let mut one = ToaTc::attach::<&str>(&lab.server, &[])?;
        let mut two = ToaTc::attach::<&str>(&lab.server, &[])?;
        let pids = [pid(&mut one), pid(&mut two)];
        for command in [&["watch", "list"][..], &["watch", "add", "any", "--iface", "web0"]] {
            let ambiguous = ToaTc::run(&namespace, command)?;
            check(&ambiguous, USAGE, "2 runs");
            for pid in &pids {
                assert!(ambiguous.stderr.contains(&format!("pid {pid} on web0")), "{}", ambiguous.stderr);
            }
        }
        succeed(&namespace, &["watch", "add", "203.0.113.9", "--pid", &pids[0]])?;
        succeed(&namespace, &["watch", "add", "203.0.113.10", "--pid", &pids[1]])?;
        ask(&mut lab.connect(Some(FIRST.into()))?, "/first")?;
        ask(&mut lab.connect(Some(SECOND.into()))?, "/second")?;
        let one = one.stop(Signal::Interrupt)?.succeeded()?;
        // The other run continues, and is now the only one.
        assert_eq!(succeed(&namespace, &["watch", "list"])?, "203.0.113.10\n");
        let two = two.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(targets(&one)?, [(FIRST.into(), "/first".to_owned())]);
        assert_eq!(targets(&two)?, [(SECOND.into(), "/second".to_owned())]);
        Ok(())
    })
}

#[test]
fn interfaces_of_the_same_name_in_two_namespaces_are_told_apart() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut labs = [Lab::new(Habit::SynAndEarly)?, Lab::new(Habit::SynAndEarly)?];
        let _nginxes = (labs[0].nginx()?, labs[1].nginx()?);
        let mut one = ToaTc::attach::<&str>(&labs[0].server, &[])?;
        let two = ToaTc::attach::<&str>(&labs[1].server, &[])?;
        // In a third namespace, the name is ambiguous.
        let elsewhere = labs[0].balancer.namespace.clone();
        check(&ToaTc::run(&elsewhere, &["watch", "list", "--iface", "web0"])?, USAGE, "2 runs");
        check(&ToaTc::run(&elsewhere, &["watch", "list"])?, USAGE, "2 runs");
        succeed(&elsewhere, &["watch", "add", "203.0.113.9", "--pid", &pid(&mut one)])?;
        succeed(&labs[1].server.namespace, &["watch", "add", "203.0.113.10", "--iface", "web0"])?;
        for lab in &mut labs {
            ask(&mut lab.connect(Some(FIRST.into()))?, "/first")?;
            ask(&mut lab.connect(Some(SECOND.into()))?, "/second")?;
        }
        let (one, two) =
            (one.stop(Signal::Interrupt)?.succeeded()?, two.stop(Signal::Interrupt)?.succeeded()?);
        assert_eq!(targets(&one)?, [(FIRST.into(), "/first".to_owned())]);
        assert_eq!(targets(&two)?, [(SECOND.into(), "/second".to_owned())]);
        Ok(())
    })
}

#[test]
fn refusals_are_one_clear_line() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let changes = [&["add", "any"][..], &["remove", "any"], &["list"], &["clear"]];
        for change in changes {
            let command = [&["watch"], change].concat();
            let output = ToaTc::run(namespace, &command)?;
            check(&output, NOTHING_FOUND, "no toa-tc is attached");
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
            check(&as_nobody(namespace, &command)?, FAILED, "root");
        }
        check(&ToaTc::run(namespace, &["watch", "add", "client.example"])?, USAGE, "host name");
        check(&ToaTc::run(namespace, &["watch", "add", "203.0.113.9/24"])?, USAGE, "prefix");
        check(&ToaTc::run(namespace, &["watch", "add"])?, USAGE, "RULE");
        let tool = ToaTc::attach::<&str>(&lab.server, &[])?;
        check(&ToaTc::run(namespace, &["watch", "list", "--iface", "nosuch0"])?, NOTHING_FOUND, "nosuch0");
        check(&ToaTc::run(namespace, &["watch", "list", "--pid", "1"])?, NOTHING_FOUND, "process ID 1");
        for change in changes {
            check(&as_nobody(namespace, &[&["watch"], change].concat())?, FAILED, "root");
        }
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}

#[test]
fn changes_while_requests_fly_lose_nothing_of_other_clients() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        let namespace = lab.server.namespace.clone();
        let mut watched = lab.connect(Some(FIRST.into()))?;
        let changes = thread::spawn(move || -> Result<()> {
            for _ in 0..10 {
                succeed(&namespace, &["watch", "add", "203.0.113.10"])?;
                succeed(&namespace, &["watch", "remove", "203.0.113.10"])?;
            }
            Ok(())
        });
        let mut asked = 0;
        while !changes.is_finished() {
            ask(&mut watched, &format!("/{asked}"))?;
            asked += 1;
        }
        changes.join().ok().context("a panic")??;
        wait::until("the last request", || {
            Ok(tool.stdout()?.contains(&format!("GET /{} HTTP/1.1", asked - 1)).then_some(()))
        })?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let expected: Vec<_> = (0..asked).map(|number| (FIRST.into(), format!("/{number}"))).collect();
        assert_eq!(targets(&output)?, expected);
        Ok(())
    })
}
