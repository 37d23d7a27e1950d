//! The tool as other programs use it: rules from files and stdin, JSON and exit codes.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, netns::Namespace},
    peers::client::Request,
    process::Signal,
    tool::{
        commands::{find_nothing, succeed},
        toa_tc::{Output, ToaTc, binary},
    },
};

const SCHEMA: &str = include_str!("../../toa-userspace/schema/commands.schema.json");

const FIRST: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const SECOND: ([u8; 4], u16) = ([203, 0, 113, 10], 54322);

/// Runs a command with a file as stdin.
fn with_stdin(namespace: &Namespace, file: &Path, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = namespace.command(binary()?);
    Ok(command.args(arguments).stdin(File::open(file)?).output()?)
}

/// Runs a command with `-o json`, and returns its object without the process ID. It must conform to the schema.
fn changed(namespace: &Namespace, arguments: &[&str]) -> Result<Value> {
    let text = succeed(namespace, &[arguments, &["-o", "json"]].concat())?;
    let mut value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA)?)?;
    assert!(schema.is_valid(&value), "{text}");
    value.as_object_mut().context("no object")?.remove("pid");
    Ok(value)
}

fn targets(output: &Output) -> Result<Vec<(SocketAddr, String)>> {
    Ok(output.requests()?.into_iter().map(|request| (request.client, request.target)).collect())
}

#[test]
fn watch_set_replaces_the_rules_and_interrupts_no_client_of_both() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::Syn)?;
        let _nginx = lab.nginx()?;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("rules");
        let file = path.to_str().context("no text")?;
        fs::write(&path, "# the first rules\n203.0.113.9\n203.0.113.10 # both\n")?;
        let tool = ToaTc::attach(&lab.server, &["--rules", file])?;
        let namespace = lab.server.namespace.clone();
        assert_eq!(succeed(&namespace, &["watch", "list"])?, "203.0.113.9\n203.0.113.10\n");
        let (mut first, mut second) = (lab.connect(Some(FIRST.into()))?, lab.connect(Some(SECOND.into()))?);
        first.ask(Request::get("/first"))?;
        second.ask(Request::get("/second"))?;

        fs::write(&path, "203.0.113.10\n203.0.113.11\n203.0.113.12\n")?;
        let expected = json!({
            "added": 2, "already_watched": 1, "removed": 1, "not_watched": 0, "rules": 3, "dropped": 1
        });
        assert_eq!(changed(&namespace, &["watch", "set", file])?, expected);
        assert_eq!(succeed(&namespace, &["watch", "list"])?, "203.0.113.10\n203.0.113.11\n203.0.113.12\n");
        // The marker writes no option after the SYN: had the connection been dropped, it could not be learned again.
        first.ask(Request::get("/dropped"))?;
        second.ask(Request::get("/kept"))?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let row = |client: ([u8; 4], u16), target: &str| (client.into(), target.to_owned());
        assert_eq!(targets(&output)?, [row(FIRST, "/first"), row(SECOND, "/second"), row(SECOND, "/kept")]);
        Ok(())
    })
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_changed() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("rules");
        let file = path.to_str().context("no text")?;
        let _tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        let namespace = &lab.server.namespace;
        fs::write(&path, "203.0.113.11\n\n203.0.113.9/24\n")?;
        for (command, argument, name) in [("set", file, file), ("add", "-", "stdin")] {
            let output = with_stdin(namespace, &path, &["watch", command, argument])?;
            let stderr = String::from_utf8(output.stderr)?;
            let line = format!(
                "toa-tc: {name}: line 3: \"203.0.113.9/24\" has bits set after its prefix: did you mean 203.0.113.0/24? \
                 (see toa-tc watch {command} --help)\n"
            );
            assert_eq!((output.status.code(), stderr), (Some(2), line), "{command}");
        }
        assert_eq!(succeed(namespace, &["watch", "list"])?, "203.0.113.9\n");

        fs::write(&path, "203.0.113.11\n# no rule\n203.0.113.9\n")?;
        let output = with_stdin(namespace, &path, &["watch", "add", "-", "203.0.113.12"])?;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(succeed(namespace, &["watch", "list"])?, "203.0.113.9\n203.0.113.11\n203.0.113.12\n");
        fs::write(&path, "")?;
        assert!(with_stdin(namespace, &path, &["watch", "set", "-"])?.status.success());
        find_nothing(namespace, &["watch", "list"]).map(drop)
    })
}

#[test]
fn every_change_is_an_object_by_the_schema() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        let namespace = lab.server.namespace.clone();
        lab.connect(Some(FIRST.into()))?.ask(Request::get("/"))?;
        let counts = |[added, already_watched, removed, not_watched, rules, dropped]: [u32; 6]| {
            json!({
                "added": added, "already_watched": already_watched, "removed": removed,
                "not_watched": not_watched, "rules": rules, "dropped": dropped
            })
        };
        let run = |arguments: &[&str]| changed(&namespace, arguments);
        assert_eq!(run(&["watch", "list"])?, json!({ "watched": ["203.0.113.9"] }));
        assert_eq!(run(&["watch", "add", "203.0.113.9", ":7"])?, counts([1, 1, 0, 0, 2, 0]));
        assert_eq!(run(&["watch", "remove", ":7", ":8"])?, counts([0, 0, 1, 1, 1, 0]));
        assert_eq!(run(&["watch", "clear"])?, counts([0, 0, 1, 0, 0, 1]));
        tool.stop(Signal::Kill)?;
        let removed = json!({ "swept": 1, "removed_filters": 0, "complete": true });
        assert_eq!(run(&["detach"])?, removed);
        Ok(())
    })
}
