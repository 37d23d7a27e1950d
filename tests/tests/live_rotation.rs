//! Rotation of files under load: every request is in exactly one of them, whole.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{
        client::Request,
        wrk::{self, Load, PROBES, Requests},
    },
    process::Signal,
    tool::toa_tc::ToaTc,
    wait,
};

const CONNECTIONS: u32 = 8;
const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Returns the files of a rotation, the oldest first.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).context("no name")?;
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path.parent().context("no directory")?)? {
        let found = entry?.path();
        let rest = found.file_name().and_then(|it| it.to_str()).and_then(|it| it.strip_prefix(name));
        match rest {
            Some("") => files.insert(0, found),
            Some(rest) => files.insert(rest.trim_start_matches('.').parse::<u32>()?, found),
            None => None,
        };
    }
    Ok(files.into_values().rev().collect())
}

/// Runs wrk with the tool attached, and returns the ids that nginx has logged.
fn load(arguments: &[&str]) -> Result<Vec<String>> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let options: Vec<_> = (0..CONNECTIONS).chain(0..PROBES).map(|_| toa_option(CLIENT.into())).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let tool = ToaTc::attach(&lab.server, &[&["--any"], arguments].concat())?;
    let load = Load { connections: CONNECTIONS, duration: Duration::from_secs(3), requests: Requests::Small };
    wrk::run(&lab.balancer.namespace, nginx_address(), load)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!(ledger.packets("lost")? == 0, "{}", output.stderr);
    let mut ids: Vec<_> = nginx.stop()?.into_iter().map(|logged| logged.request_id).collect();
    ids.sort();
    Ok(ids)
}

#[test]
fn no_result_is_lost_or_divided_between_files() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("out.json");
    let file = path.to_str().context("no text")?;
    let logged = load(&["-o", "json", "--output-file", file, "--rotate-size", "1M", "--keep", "1000"])?;
    let (files, mut printed) = (files(&path)?, Vec::new());
    ensure!(files.len() > 3, "the test shows nothing: {files:?}");
    for file in &files {
        for line in fs::read_to_string(file)?.lines() {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if let Some(id) = event.pointer("/http/request/header/x-request-id/0") {
                printed.push(id.as_str().context("no text")?.to_owned());
            }
        }
    }
    printed.sort();
    ensure!(printed == logged, "{} printed, {} logged", printed.len(), logged.len());
    Ok(())
}

#[test]
fn no_packet_is_lost_between_captures() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("out.pcapng");
    let file = path.to_str().context("no text")?;
    let logged = load(&["-w", file, "--rotate-size", "4M", "--keep", "1000"])?;
    let files = files(&path)?;
    ensure!(files.len() > 3, "the test shows nothing: {files:?}");
    let lab = Lab::new(Habit::SynAndEarly)?;
    let files: Vec<_> = files.iter().map(|file| file.to_str().context("no text")).collect::<Result<_>>()?;
    let output =
        ToaTc::run(&lab.server.namespace, &[&["read", "--any"], &files[..]].concat())?.succeeded()?;
    let mut ids: Vec<_> =
        output.requests()?.iter().filter_map(|it| it.field("x-request-id").map(str::to_owned)).collect();
    ids.sort();
    ensure!(ids == logged, "{} read, {} logged", ids.len(), logged.len());
    Ok(())
}

#[test]
fn files_are_rotated_by_age_and_old_ones_replaced_and_a_hangup_opens_them_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("out.txt");
    let file = path.to_str().context("no text")?;
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let arguments = ["--any", "--output-file", file, "--rotate-time", "1s", "--keep", "2"];
    let mut tool = ToaTc::attach(&lab.server, &arguments)?;
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    for number in 0..4 {
        connection.ask(Request::get(&format!("/{number}")))?;
        wait::until("a rotation", || {
            let rotated = fs::read_to_string(directory.path().join("out.txt.1")).unwrap_or_default();
            Ok(rotated.contains(&format!(" GET /{number} ")).then_some(()))
        })?;
    }
    assert_eq!(files(&path)?.len(), 3);
    assert!(fs::read_to_string(directory.path().join("out.txt.2"))?.contains(" GET /2 "));
    fs::remove_file(&path)?;
    tool.process().signal(Signal::Hangup)?;
    wait::until("the file", || Ok(path.exists().then_some(())))?;
    tool.stop(Signal::Interrupt)?.succeeded()?.ledger()?.check()
}
