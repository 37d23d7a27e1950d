//! Metrics, over HTTP and by `status`, read by a parser of Prometheus's format, while wrk runs.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use prometheus_parse::{Scrape, Value};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, netns::Namespace, nginx_address},
    peers::wrk::{self, Load, PROBES, Requests},
    process::Signal,
    tool::{
        commands::{find_nothing, object, succeed},
        toa_tc::ToaTc,
    },
    wait,
};

const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9464);

const CONNECTIONS: u32 = 20;

/// Samples by name and their own label, without the labels that tell runs apart.
type Samples = BTreeMap<String, f64>;

fn parse(text: &str) -> Result<Samples> {
    ensure!(text.ends_with("# EOF\n"), "{text}");
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?;
    let mut samples = Samples::new();
    for sample in scrape.samples {
        let (Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) = sample.value else {
            bail!("{sample:?}");
        };
        let own = sample.labels.iter().find(|(key, _)| *key != "pid" && *key != "interfaces");
        let name = own.map_or_else(|| sample.metric.clone(), |(_, own)| format!("{} {own}", sample.metric));
        ensure!(samples.insert(name.clone(), value).is_none(), "{name} twice: {text}");
    }
    Ok(samples)
}

/// Sends a request to the server of metrics, and returns the response's head and body.
fn ask(namespace: &Namespace, request: &str) -> Result<(String, String)> {
    namespace.run(|| {
        let mut stream = TcpStream::connect(ADDRESS)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (head, body) = response.split_once("\r\n\r\n").context("no response")?;
        Ok((head.to_owned(), body.to_owned()))
    })
}

fn scrape(namespace: &Namespace) -> Result<Samples> {
    let (head, body) = ask(namespace, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("openmetrics-text"), "{head}");
    ensure!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    parse(&body)
}

fn requests(samples: &Samples) -> f64 {
    let outcomes = ["complete", "incomplete"].map(|outcome| format!("toa_tc_requests_total {outcome}"));
    outcomes.iter().filter_map(|name| samples.get(name)).sum()
}

#[test]
fn metrics_agree_with_status_while_wrk_runs_and_afterwards() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let client = |number: u16| SocketAddr::from(([203, 0, 113, 9], 10_000 + number));
        let count = u16::try_from(PROBES + CONNECTIONS)?;
        let options: Vec<_> = (0..count).map(client).map(toa_option).collect();
        lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
        let namespace = lab.server.namespace.clone();
        // The kernel stops measuring when this descriptor is closed.
        let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let tool = ToaTc::attach(&lab.server, &["--any", "--metrics", ":9464"])?;
        let before = scrape(&namespace)?;
        assert_eq!((requests(&before), before["toa_tc_rules"]), (0.0, 1.0));
        assert!(!before.contains_key("toa_tc_last_request_timestamp_seconds"));

        let load =
            Load { connections: CONNECTIONS, duration: Duration::from_secs(3), requests: Requests::Small };
        let (report, growing) = thread::scope(|scope| {
            let report = scope.spawn(|| wrk::run(&lab.balancer.namespace, nginx_address(), load));
            // What is served may be a second older than what is shown.
            let mut growing = [vec![0.0], vec![0.0]];
            while !report.is_finished() {
                let shown = parse(&succeed(&namespace, &["status", "-o", "prometheus"])?)?;
                for (counts, text) in growing.iter_mut().zip([scrape(&namespace)?, shown]) {
                    counts.push(requests(&text));
                }
            }
            let report = report.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            Ok::<_, anyhow::Error>((report, growing))
        })?;
        assert!(growing.iter().all(|counts| counts.is_sorted()), "{growing:?}");

        // What was printed last is counted a second later.
        let (over_http, by_status, json) = wait::until("all counts to agree", || {
            let over_http = scrape(&namespace)?;
            let by_status = parse(&succeed(&namespace, &["status", "-o", "prometheus"])?)?;
            let json = object(&namespace, &["status", "-o", "json"])?;
            let total = json["runs"][0]["requests"]["total"].as_f64();
            let agree = [Some(requests(&over_http)), Some(requests(&by_status))] == [total, total];
            let is_last = over_http.get("toa_tc_losses_total ring_full")
                == over_http.get("toa_tc_kernel_events_total lost_ring_full");
            let delivered = |samples: &Samples| samples.get("toa_tc_packets_total delivered").copied();
            let is_same_age = delivered(&over_http) == delivered(&by_status);
            Ok((agree && is_last && is_same_age).then_some((over_http, by_status, json)))
        })?;
        println!("wrk: {} requests, metrics: {}", report.requests, requests(&over_http));
        assert!(requests(&over_http) > 0.0);
        let run = &json["runs"][0];
        for samples in [&over_http, &by_status] {
            let sum = |names: &[&str]| names.iter().map(|name| samples[*name]).sum::<f64>();
            let packets =
                ["delivered", "lost", "bypassed"].map(|outcome| format!("toa_tc_packets_total {outcome}"));
            let packets = sum(&packets.each_ref().map(String::as_str));
            assert_eq!(Some(packets), run["ledger"]["packets"]["matched"].as_f64());
            let bytes = ["delivered", "cut", "lost", "bypassed"]
                .map(|outcome| format!("toa_tc_payload_bytes_total {outcome}"));
            let bytes = sum(&bytes.each_ref().map(String::as_str));
            assert_eq!(Some(bytes), run["ledger"]["bytes"]["matched"].as_f64());
            for outcome in ["used", "duplicate", "conflicting", "discarded"] {
                let name = format!("toa_tc_delivered_bytes_total {outcome}");
                assert_eq!(samples.get(&name).copied(), run["delivered_bytes"][outcome].as_f64(), "{name}");
            }
            assert!(samples["toa_tc_program_runs_total"] >= packets, "{samples:?}");
            assert!(samples["toa_tc_program_run_time_seconds_total"] > 0.0, "{samples:?}");
            assert!(samples["toa_tc_last_request_timestamp_seconds"] > samples["toa_tc_start_time_seconds"]);
            assert_eq!(samples.get("toa_tc_build_info 0.1.0"), Some(&1.0));
            assert_eq!(samples.get("toa_tc_connections_total"), Some(&f64::from(CONNECTIONS + PROBES)));
        }
        tool.stop(Signal::Interrupt)?.succeeded()?;
        let nothing = find_nothing(&namespace, &["status", "-o", "prometheus"])?;
        assert_eq!(nothing.stdout, "# EOF\n");
        Ok(())
    })
}

#[test]
fn only_the_metrics_are_served_and_slow_clients_keep_nobody_waiting_for_long() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let tool = ToaTc::attach(&lab.server, &["--any", "--metrics", "9464"])?;
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "405 Method Not Allowed"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200 OK"),
            ("GET /metrics?x=y HTTP/1.0\r\n\r\n", "200 OK"),
            ("\r\n\r\n", "405 Method Not Allowed"),
            (&"x".repeat(8 << 10), "400 Bad Request"),
        ] {
            let (head, body) = ask(namespace, request)?;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {head}");
            assert_eq!(body.is_empty(), request.starts_with("HEAD"), "{body}");
        }
        // As many as are served at a time, and more.
        let idle =
            namespace.run(|| (0..8).map(|_| Ok(TcpStream::connect(ADDRESS)?)).collect::<Result<Vec<_>>>())?;
        // Idle clients lose their places after a second.
        scrape(namespace)?;
        drop(idle);
        let second = ToaTc::run(namespace, &["attach", "web0", "--any", "--metrics", "9464"])?;
        let line = "toa-tc: cannot serve metrics on 127.0.0.1:9464: Address already in use (os error 98)\n";
        assert_eq!((second.status.code(), second.stderr.as_str()), (Some(1), line));
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}
