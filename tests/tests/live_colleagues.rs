//! What a colleague sees of a run, and what a run sees of colleagues.
#![cfg(feature = "kernel")]

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::{
        commands::{object, succeed},
        toa_tc::{ToaTc, binary},
    },
    wait,
};

const SCHEMA: &str = include_str!("../../toa-userspace/schema/commands.schema.json");

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

#[test]
fn status_tells_a_colleague_how_a_run_was_started_and_what_it_has_found() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let namespace = lab.server.namespace.clone();
        let arguments = ["--ip", "203.0.113.9", "--ip", "203.0.113.0/28", "--lb", "10.9.0.0/24"];
        let arguments = [&arguments[..], &["--server-port", "80", "--toa", "254:8", "-o", "json"]].concat();
        let tool = ToaTc::attach(&lab.server, &arguments)?;
        let status = || object(&namespace, &["status", "-o", "json"]);
        let run = &status()?["runs"][0];
        assert_eq!((&run["requests"]["total"], &run["requests"]["last"]), (&json!(0), &Value::Null));

        let mut connection = lab.connect(Some(CLIENT.into()))?;
        for target in ["/1", "/2"] {
            connection.ask(Request::get(target))?;
        }
        let status = wait::until("both requests to be counted", || {
            let status = status()?;
            Ok((status["runs"][0]["requests"]["total"] == 2).then_some(status))
        })?;
        let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA)?)?;
        assert!(schema.is_valid(&status), "{status}");
        let run = &status["runs"][0];
        assert!(run["requests"]["last"].is_string() && run["connections"] == 1, "{run}");
        assert_eq!(run["watched"], json!(["203.0.113.9", "203.0.113.0/28"]));
        let settings = &run["settings"];
        let words = settings["command_line"].as_array().context("no command line")?;
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        assert_eq!(words[..2], [binary()?.to_str().context("no text")?, "attach"]);
        assert!(words.windows(2).any(|pair| pair == ["--lb", "10.9.0.0/24"]), "{words:?}");
        let expected = json!({
            "command_line": words, "user": { "id": 0, "name": "root" },
            "toa": [{ "kind": 254, "length": 8 }], "toa_pick": "first", "balancers": ["10.9.0.0/24"],
            "server_ports": [80], "existing": false, "any_flow": false, "tls": false, "output": "json",
            "truncated": false
        });
        assert_eq!(settings, &expected);

        let text = succeed(&namespace, &["status"])?;
        for line in [
            "  TOA 254:8, the first of a packet, from 10.9.0.0/24 only",
            "  only connections to 80",
            "  rules: 2",
            "    203.0.113.9",
            "    203.0.113.0/28",
            "  learned: 1 (connections that began to be followed)",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(
            text.contains("  started by root: ") && text.contains(" attach web0 --ip 203.0.113.9 "),
            "{text}"
        );
        let requests = text.lines().find(|line| line.starts_with("  requests: ")).context("no requests")?;
        assert!(requests.starts_with("  requests: 2 (0 incomplete), the last at "), "{requests}");
        assert!(requests.ends_with(" ago) on 1 connection"), "{requests}");
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}

#[test]
fn a_run_reports_who_changes_its_rules() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "-o", "json"])?;
        let reported = |text: &str| {
            wait::until(text, || {
                let stderr = tool.stderr()?;
                Ok(stderr.lines().find(|line| line.ends_with(text)).map(str::to_owned))
            })
        };
        let added = namespace.command(binary()?).args(["watch", "add", "120.120.111.111"]).spawn()?;
        let pid = added.id();
        anyhow::ensure!(added.wait_with_output()?.status.success());
        let line = reported(": 120.120.111.111")?;
        assert_eq!(line, format!("toa-tc: rule added by process {pid} of user root: 120.120.111.111"));
        // What changes nothing is not reported.
        succeed(namespace, &["watch", "add", "203.0.113.9"])?;
        succeed(namespace, &["watch", "remove", "203.0.113.10"])?;
        succeed(namespace, &["watch", "clear"])?;
        let line = reported(" of user root: 120.120.111.111, 203.0.113.9")?;
        assert!(line.starts_with("toa-tc: 2 rules removed by process "), "{line}");
        reported("nothing is watched now: add a client with toa-tc watch add IP")?;
        // More than are kept.
        for number in 0..20 {
            succeed(namespace, &["watch", "add", &format!(":{number}")])?;
        }
        reported(": :19")?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let changes = output.stderr.lines().filter(|line| line.contains(" by process "));
        assert!(changes.count() >= 2 + 16, "{}", output.stderr);
        assert!(!output.stderr.contains("203.0.113.10"), "{}", output.stderr);
        let messages =
            output.raw_stderr.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let change = messages.iter().map(|message| &message["rule_change"]).find(|change| !change.is_null());
        let expected = json!({
            "action": "added", "count": 1, "rules": ["120.120.111.111"], "process": {"pid": pid},
            "user": {"id": 0, "name": "root"}
        });
        assert_eq!(change, Some(&expected));
        Ok(())
    })
}
