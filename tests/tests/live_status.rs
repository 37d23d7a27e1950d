//! Runs can be inspected from outside, as text and as JSON that conforms to the schema, with and without
//! privileges.
#![cfg(feature = "kernel")]

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData};
use serde_json::{Value, json};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, nginx_address},
    peers::client::Request,
    process::Signal,
    tool::{
        commands::{as_nobody, find_nothing, object, objects, succeed},
        toa_tc::ToaTc,
    },
    wait,
};

const SCHEMA: &str = include_str!("../../toa-userspace/schema/commands.schema.json");
const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Fails unless `value` conforms to this definition of the schema.
fn validate(definition: &str, value: &Value) -> Result<()> {
    let mut schema: Value = serde_json::from_str(SCHEMA)?;
    let top = schema.as_object_mut().context("the schema is no object")?;
    top.remove("oneOf");
    top.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    let validator = jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
    let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    anyhow::ensure!(errors.is_empty(), "{errors:?} in {value}");
    Ok(())
}

/// Returns the pin directory of the only run.
fn run_directory() -> Result<PathBuf> {
    let mut found = mounts::pins()?.into_iter().filter(|path| path.ends_with("INFO"));
    let pin = found.next().context("no run has pinned anything")?;
    Ok(pin.parent().context("a pin without a directory")?.to_owned())
}

#[test]
fn status_shows_a_run_and_its_ledger() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let namespace = lab.server.namespace.clone();
        let mut tool = ToaTc::attach(&lab.server, &["--any", "--ip", "203.0.113.9"])?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;

        let status = object(&namespace, &["status", "-o", "json"])?;
        validate("status", &status)?;
        let run = &status["runs"][0];
        assert_eq!(status["runs"].as_array().map(Vec::len), Some(1));
        assert_eq!(run["pid"], tool.process().child().id());
        assert_eq!(run["rules"], 2);
        assert_eq!(run["interfaces"][0]["name"], "web0");
        assert_eq!(run["interfaces"][0]["position"], 1);
        assert_eq!(run["interfaces"][0]["chain"][0]["name"], "toa_ingress_eth");
        assert_eq!(run["counters"]["learned"], 1);
        for unit in ["packets", "bytes"] {
            let sum = &run["ledger"][unit];
            let term = |name: &str| sum[name].as_u64().unwrap_or(0);
            let terms = term("delivered") + term("cut") + term("lost") + term("bypassed");
            assert_eq!(term("matched"), terms, "{unit}");
            assert!(term("matched") > 0, "{unit}");
        }
        // As the ledger at the end.
        assert_eq!(
            (&run["requests"]["reopened"], &run["requests"]["possibly_unread"]),
            (&json!(0), &json!(0))
        );
        assert_eq!(run["gaps"], json!({"count": 0, "bytes": 0}));
        // The position in the chain is also found from another namespace.
        let elsewhere = object(&lab.balancer.namespace, &["status", "-o", "json"])?;
        assert_eq!(elsewhere["runs"][0]["interfaces"], run["interfaces"]);

        let text = succeed(&namespace, &["status"])?;
        for part in ["web0 (index", "1 of 1 in the chain", "rules: 2", "learned: 1", "cost: "] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!text.contains("flow_insert_failed"), "a counter of zero: {text}");
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}

#[test]
fn status_shows_the_cost_while_the_kernel_measures() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let namespace = lab.server.namespace.clone();
        let _tool = ToaTc::attach(&lab.server, &["--any"])?;
        // The kernel stops measuring when this descriptor is closed, however the test ends.
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        connection.ask(Request::get("/"))?;

        let finished = AtomicBool::new(false);
        let (asked, status, text) = thread::scope(|scope| {
            let asking = scope.spawn(|| -> Result<()> {
                while !finished.load(Ordering::Relaxed) {
                    connection.ask(Request::get("/"))?;
                }
                Ok(())
            });
            let status = object(&namespace, &["status", "-o", "json"]);
            let text = succeed(&namespace, &["status"]);
            finished.store(true, Ordering::Relaxed);
            (asking.join(), status, text)
        });
        asked.map_err(|_| anyhow::anyhow!("who asks panicked"))??;
        let (status, text) = (status?, text?);
        validate("status", &status)?;
        let cost = &status["runs"][0]["cost"];
        let term = |name: &str| cost[name].as_u64().with_context(|| format!("no {name} in {cost}"));
        let (runs, ns, rate) = (term("runs")?, term("ns_per_run")?, term("runs_per_second")?);
        println!("{cost}");
        // The total includes the sampled second. A run takes longer than an instruction, and less than a
        // system call that sleeps.
        assert!((1..=runs).contains(&rate), "{cost}");
        assert!((5..1_000_000).contains(&ns), "{cost}");
        let line = text.lines().find(|line| line.starts_with("  cost: ")).context("no cost")?;
        assert!(line.contains(" ns a run over ") && line.ends_with(" runs/s"), "{line}");
        assert!(!line.ends_with(" 0 runs/s") && !line.contains(" 0 ns"), "{line}");
        Ok(())
    })
}

#[test]
fn status_shows_the_order_of_two_runs_on_one_interface() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let tools = [ToaTc::attach(&lab.server, &["--any"])?, ToaTc::attach(&lab.server, &["--any"])?];
        let status = object(&lab.server.namespace, &["status", "-o", "json"])?;
        validate("status", &status)?;
        let mut positions = Vec::new();
        for mut tool in tools {
            let pid = tool.process().child().id();
            let runs = status["runs"].as_array().context("no runs")?;
            let run = runs.iter().find(|run| run["pid"] == pid).context("a run is missing")?;
            positions.push(run["interfaces"][0]["position"].clone());
        }
        // Each run attaches at the head of the chain.
        assert_eq!(positions, [json!(2), json!(1)]);
        Ok(())
    })
}

#[test]
fn flows_shows_what_is_followed() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let namespace = lab.server.namespace.clone();
        let _tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        assert_eq!(objects(&namespace, &["flows", "-o", "json"])?, Vec::<Value>::new());
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        let mut other = lab.connect(Some(SocketAddr::from(([203, 0, 113, 10], 1))))?;
        for connection in [&mut connection, &mut other] {
            connection.ask(Request::get("/"))?;
        }

        let flows = objects(&namespace, &["flows", "-o", "json"])?;
        assert_eq!(flows.len(), 1, "{flows:?}");
        let flow = &flows[0];
        validate("flow", flow)?;
        assert_eq!(flow["client"], json!({ "address": "203.0.113.9", "port": 54321 }));
        let local = connection.local();
        assert_eq!(flow["network"]["peer"], json!({ "address": local.ip(), "port": local.port() }));
        let server = nginx_address();
        assert_eq!(flow["server"], json!({ "address": server.ip(), "port": server.port() }));
        assert_eq!(flow["toa"]["kind"], 254);
        assert_eq!(flow["ended"], false);
        let sent: usize = connection.sent().iter().map(|request| request.head().len()).sum();
        assert_eq!(flow["bytes"], sent);
        assert_eq!(flow["toa"]["learned_from"], "syn");
        // SYN, ACK of the handshake, and request. The ACK of the answer may not have arrived yet.
        assert!(flow["packets"].as_u64().is_some_and(|packets| packets >= 3), "{flow}");
        assert!(flow["age_ns"].as_u64().is_some_and(|age| age > 0 && flow["idle_ns"].as_u64() <= Some(age)));

        let text = succeed(&namespace, &["flows"])?;
        assert!(text.contains("1 followed"), "{text}");
        for part in ["203.0.113.9:54321", &local.to_string(), &server.to_string(), "syn 254:8", "open"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        for (rule, count) in [("203.0.113.9", 1), (":54321", 1), ("203.0.113.0/24", 1), ("203.0.113.10", 0)] {
            assert_eq!(objects(&namespace, &["flows", rule, "-o", "json"])?.len(), count, "{rule}");
        }
        assert!(
            succeed(&namespace, &["flows", ":54321", "192.0.2.1"])?
                .contains(": 1 followed of these clients\n")
        );
        drop(connection);
        wait::until("the end of the connection", || {
            let text = succeed(&namespace, &["flows"])?;
            Ok((text.contains(": 0 followed, 1 ended\n") && text.contains(" ended\n")).then_some(()))
        })
    })
}

#[test]
fn doctor_says_that_attach_would_work() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let _tool = ToaTc::attach(&lab.server, &["--any"])?;
        let report = object(&lab.server.namespace, &["doctor", "-o", "json"])?;
        validate("doctor", &report)?;
        assert_eq!(report["ok"], true);
        let found = |name: &str| {
            let checks = report["checks"].as_array()?;
            checks.iter().find(|check| check["name"] == name)?["found"].as_str()
        };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        assert_eq!(found("kernel"), Some(release.trim()));
        assert_eq!(found("tcx"), Some("attaching first in the TCX chain"));
        assert_eq!(found("capabilities"), Some("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"));
        assert_eq!(found("bpf file system"), Some("at /sys/fs/bpf"));
        let module = if PathBuf::from("/sys/module/toa").exists() { "loaded" } else { "not loaded" };
        assert!(found("toa module").is_some_and(|found| found.starts_with(module)), "{report}");
        assert!(found("programs").is_some_and(|found| found.contains("accepts")), "{report}");
        let text = succeed(&lab.server.namespace, &["doctor"])?;
        assert!(text.contains("ok    ingress chain: web0: toa_ingress_eth"), "{text}");
        let states = ["ok    ", "warn  ", "fail  "];
        assert!(text.lines().all(|line| states.iter().any(|state| line.starts_with(state))), "{text}");
        Ok(())
    })
}

#[test]
fn doctor_names_a_missing_bpf_file_system() -> Result<()> {
    mounts::without_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        // This does not prevent attach.
        let text = succeed(&lab.server.namespace, &["doctor"])?;
        assert!(text.lines().any(|line| line.starts_with("warn") && line.contains("mount -t bpf")), "{text}");
        Ok(())
    })
}

/// Checks what an unprivileged user gets from the three commands.
fn check_as_nobody(lab: &Lab) -> Result<()> {
    let namespace = &lab.server.namespace;
    for format in ["text", "json"] {
        for command in ["status", "flows"] {
            let output = as_nobody(namespace, &[command, "-o", format])?;
            assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
            assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{}", output.stderr);
            assert!(output.stderr.contains("root"), "{}", output.stderr);
        }
    }
    let output = as_nobody(namespace, &["doctor"])?;
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    assert!(output.stdout.contains("fail  capabilities: CAP_BPF"), "{}", output.stdout);
    let output = as_nobody(namespace, &["doctor", "-o", "json"])?;
    let report: Value = serde_json::from_str(&output.stdout)?;
    validate("doctor", &report)?;
    assert_eq!(report.get("ok"), Some(&json!(false)));
    Ok(())
}

#[test]
fn nobody_gets_one_clear_line() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        check_as_nobody(&lab)?;
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        check_as_nobody(&lab)?;
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}

#[test]
fn without_a_run_status_says_so() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let status = object(namespace, &["status", "-o", "json"])?;
        validate("status", &status)?;
        assert_eq!(status, json!({ "runs": [], "refused": [], "swept": 0, "left_filters": [] }));
        assert_eq!(find_nothing(namespace, &["status"])?.stdout, "no toa-tc is attached\n");
        find_nothing(namespace, &["status", "-o", "json"])?;
        for format in ["text", "json"] {
            let output = find_nothing(namespace, &["flows", "-o", format])?;
            assert_eq!(output.stdout, "");
            assert!(output.stderr.contains("no toa-tc is attached"), "{}", output.stderr);
        }
        Ok(())
    })
}

#[test]
fn what_a_killed_run_left_is_cleared_away() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        ToaTc::attach(&lab.server, &["--any"])?.stop(Signal::Kill)?;
        let left = run_directory()?;
        let status = object(namespace, &["status", "-o", "json"])?;
        validate("status", &status)?;
        assert_eq!((&status["swept"], &status["runs"]), (&json!(1), &json!([])));
        assert!(!left.exists());

        // The next run clears it as well, but leaves what others put there.
        ToaTc::attach(&lab.server, &["--any"])?.stop(Signal::Kill)?;
        let left = run_directory()?;
        let foreign = left.with_file_name("not-a-run");
        fs::create_dir(&foreign)?;
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        assert!(!left.exists());
        assert_ne!(run_directory()?, left);
        tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(fs::read_dir(&foreign)?.count(), 0);
        Ok(())
    })
}

#[test]
fn pins_of_others_are_reported_and_never_used() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let _tool = ToaTc::attach(&lab.server, &["--any"])?;
        let directory = run_directory()?;

        // One has the right layout, one does not.
        let twin = HashMap::<MapData, [u32; 6], u32>::create(131_072, 0)?;
        let other = HashMap::<MapData, u32, u32>::create(1, 0)?;
        let pin = directory.join("WATCH");
        let refused = |reason: &str| -> Result<()> {
            for command in [&["watch", "add", "203.0.113.9"][..], &["watch", "list"], &["status"]] {
                let output = ToaTc::run(namespace, command)?;
                assert_eq!(output.status.code(), Some(1), "{command:?}: {}", output.stdout);
                assert!(output.stderr.contains(reason), "{}", output.stderr);
            }
            fs::remove_file(&pin).map_err(Into::into)
        };
        fs::remove_file(&pin)?;
        twin.pin(&pin)?;
        let twin = HashMap::<_, [u32; 6], u32>::try_from(Map::HashMap(MapData::from_pin(&pin)?))?;
        refused("another map")?;
        other.pin(&pin)?;
        let other = HashMap::<_, u32, u32>::try_from(Map::HashMap(MapData::from_pin(&pin)?))?;
        refused("4 bytes of key")?;
        assert_eq!(twin.keys().count() + other.keys().count(), 0);

        // With an INFO of another version, the run is unknown.
        let info = directory.join("INFO");
        fs::remove_file(&info)?;
        Array::<MapData, u64>::create(1, 0)?.pin(&info)?;
        let status = object(namespace, &["status", "-o", "json"])?;
        validate("status", &status)?;
        assert_eq!(status["runs"], json!([]));
        assert!(
            status["refused"][0].as_str().is_some_and(|text| text.contains("INFO is not used")),
            "{status}"
        );
        let output = ToaTc::run(namespace, &["watch", "list"])?;
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.contains("is not used"), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn a_directory_that_is_not_only_ours_is_not_used() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let ours = PathBuf::from(mounts::BPF).join("toa-tc");
        fs::create_dir(&ours)?;
        std::os::unix::fs::chown(&ours, Some(65534), None)?;
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        let reason = "/sys/fs/bpf/toa-tc is not used, because another user can change it: it belongs to user 65534 and has mode \
                      755 (see --pin-dir)";
        let is_said = || Ok(tool.stderr()?.lines().any(|line| line.ends_with(reason)).then_some(()));
        wait::until("the reason", is_said)?;
        assert_eq!(fs::read_dir(&ours)?.count(), 0);
        tool.stop(Signal::Interrupt)?.succeeded()?;
        let status = find_nothing(&lab.server.namespace, &["status"])?.stdout;
        assert_eq!(status, format!("no toa-tc is attached\n{reason}\n"));
        Ok(())
    })
}
