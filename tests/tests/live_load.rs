//! At full rate, the printed requests and those reported as lost add up to what nginx logged.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, HashMap},
    io::Read as _,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, nginx_address},
    peers::{
        nginx::Logged,
        wrk::{self, Load, PROBES, Report, Requests},
    },
    process::Signal,
    tool::{
        printed::Printed,
        toa_tc::{Output, ToaTc},
        usage::resident_kib,
    },
};

/// Concurrent loads would distort each other's rates.
static ALONE: Mutex<()> = Mutex::new(());

const CONNECTIONS: u32 = 50;
const DURATION: Duration = Duration::from_secs(10);
/// Distinct clients, each with two connections.
const CLIENTS: u32 = 25;

fn watched() -> IpAddr {
    client(3).ip()
}

/// Returns the client of the connection with this number.
fn client(number: u32) -> SocketAddr {
    let last = u8::try_from(1 + number % CLIENTS).unwrap_or_default();
    let port = u16::try_from(10_000 + number).unwrap_or_default();
    ([203, 0, 113, last], port).into()
}

/// The result of a load.
struct Run {
    report: Report,
    output: Option<Output>,
    logged: Vec<Logged>,
    /// The real client of each connection, by the balancer's port.
    clients: HashMap<u16, SocketAddr>,
}

/// Runs wrk against nginx, with the tool attached if there are arguments.
fn run(arguments: Option<&[&str]>, duration: Duration) -> Result<Run> {
    run_while(arguments, duration, |_, _| Ok(()))
}

/// Does the same and runs `meanwhile` from wrk's start until the time that it is given.
fn run_while(
    arguments: Option<&[&str]>,
    duration: Duration,
    meanwhile: impl FnOnce(&ToaTc, Instant) -> Result<()>,
) -> Result<Run> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let nobody = (0..PROBES).map(|_| SocketAddr::from(([198, 51, 100, 1], 1)));
    let options: Vec<_> = nobody.chain((0..CONNECTIONS).map(client)).map(toa_option).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let tool = arguments.map(|arguments| ToaTc::attach(&lab.server, arguments)).transpose()?;
    let load = Load { connections: CONNECTIONS, duration, requests: Requests::Small };
    let report = thread::scope(|scope| {
        let report = scope.spawn(|| wrk::run(&lab.balancer.namespace, nginx_address(), load));
        if let Some(tool) = &tool {
            meanwhile(tool, Instant::now() + duration)?;
        }
        report.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
    })?;
    let output = tool.map(|tool| tool.stop(Signal::Interrupt)?.succeeded()).transpose()?;
    let logged = nginx.stop()?;
    let mut clients = HashMap::new();
    for (port, option) in lab.marker.options()? {
        let number = options.iter().position(|known| *known == option).context("a foreign option")?;
        if let Some(number) = u32::try_from(number)?.checked_sub(PROBES) {
            clients.insert(port, client(number));
        }
    }
    ensure!(clients.len() == usize::try_from(CONNECTIONS)?, "wrk opened {} connections", clients.len());
    ensure!(report.requests == u64::try_from(logged.len())?, "wrk: {report:?}, logged: {}", logged.len());
    Ok(Run { report, output, logged, clients })
}

/// Checks that every printed request was logged by nginx and printed once with the right client. Returns
/// their number.
fn check_printed(run: &Run, output: &Output) -> Result<usize> {
    let logged: HashMap<_, _> =
        run.logged.iter().map(|logged| (logged.request_id.as_str(), logged)).collect();
    let printed = output.requests()?;
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for request in &printed {
        let id = request.field("x-request-id").context("a request without id")?;
        let logged = logged.get(id).with_context(|| format!("{id} is not in nginx's log"))?;
        ensure!(is_of(run, request, logged), "wrong: {request:?}, logged: {logged:?}");
        *times.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "printed more than once: {twice:?}");
    Ok(printed.len())
}

fn is_of(run: &Run, printed: &Printed, logged: &Logged) -> bool {
    run.clients.get(&logged.peer.port()) == Some(&printed.client)
        && (printed.via, printed.server) == (logged.peer, nginx_address())
        && format!("{} {} HTTP/1.1", printed.method, printed.target) == logged.request
        && printed.field("x-team") == Some("wrk")
        // After a loss, the next request is found by searching.
        && printed.marks.iter().all(|mark| mark == "resynchronized")
}

#[test]
fn everything_that_wrk_asks_is_logged_once() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = run(None, Duration::from_secs(3))?;
    let ids: std::collections::BTreeSet<_> = run.logged.iter().map(|logged| &logged.request_id).collect();
    assert_eq!(ids.len(), run.logged.len());
    assert!(run.logged.iter().all(|logged| logged.request_length == run.logged[0].request_length));
    println!("bare: {:.0} requests/s", run.report.rate);
    Ok(())
}

#[test]
fn two_watched_connections_of_fifty_are_printed_whole() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = run(Some(&["--ip", &watched().to_string()]), DURATION)?;
    let output = run.output.as_ref().context("no output")?;
    let is_watched = |logged: &&Logged| {
        run.clients.get(&logged.peer.port()).is_some_and(|client| client.ip() == watched())
    };
    let expected = run.logged.iter().filter(is_watched).count();
    let ledger = output.ledger()?;
    println!(
        "2 of {CONNECTIONS} watched: {:.0} requests/s, {} logged, {expected} of them watched, {} printed",
        run.report.rate,
        run.logged.len(),
        check_printed(&run, output)?
    );
    ledger.check()?;
    assert_eq!(check_printed(&run, output)?, expected);
    assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0));
    Ok(())
}

/// Watches all connections and checks that printed and lost requests add up to those that nginx logged. Returns the number
/// of lost requests.
fn check_all_watched(arguments: &[&str], duration: Duration) -> Result<u64> {
    let bare = run(None, Duration::from_secs(3))?;
    let run = run(Some(&[&["--any"], arguments].concat()), duration)?;
    let output = run.output.as_ref().context("no output")?;
    let printed = check_printed(&run, output)?;
    let ledger = output.ledger()?;
    ledger.check()?;
    // A request is one packet, and all have the same size.
    let size = run.logged.first().context("nothing is logged")?.request_length;
    let lost = ledger.bytes("lost")? / size;
    println!(
        "{CONNECTIONS} of {CONNECTIONS} watched, {arguments:?}: {:.0} requests/s (bare: {:.0}), {} logged = \
         {printed} printed + {lost} lost",
        run.report.rate,
        bare.report.rate,
        run.logged.len()
    );
    assert_eq!(ledger.bytes("lost")? % size, 0, "{}", output.stderr);
    assert_eq!(u64::try_from(printed)? + lost, u64::try_from(run.logged.len())?, "{}", output.stderr);
    assert_eq!(ledger.bytes_once()?, u64::try_from(run.logged.len())? * size, "{}", output.stderr);
    Ok(lost)
}

#[test]
fn what_is_not_printed_is_admitted_as_lost() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    check_all_watched(&[], DURATION).map(drop)
}

/// Changes of the watched set per second.
const CHANGES_PER_SECOND: u32 = 10_000;

#[test]
fn ten_thousand_changes_a_second_cost_a_watched_client_nothing() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    mounts::with_bpf_file_system(|| {
        let mut changes = 0;
        let begin = Instant::now();
        // The rings hold a second of load, because the commands that change rules need CPU time, too.
        let run = run_while(Some(&["--any", "--ring-size", "33554432"]), DURATION, |tool, end| {
            while Instant::now() < end {
                changes += change_many(tool)?;
                // Not faster than promised: more commands would only take CPU time from wrk.
                let due = begin + Duration::from_secs((changes / CHANGES_PER_SECOND).into());
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        })?;
        let rate = f64::from(changes) / DURATION.as_secs_f64();
        let output = run.output.as_ref().context("no output")?;
        let printed = check_printed(&run, output)?;
        println!(
            "{rate:.0} changes a second: {:.0} requests/s, {} logged, {printed} printed",
            run.report.rate,
            run.logged.len()
        );
        let ledger = output.ledger()?;
        ledger.check()?;
        assert_eq!((printed, ledger.bytes("lost")?), (run.logged.len(), 0), "{}", output.stderr);
        assert!(!output.stderr.contains(" evicted in "), "{}", output.stderr);
        Ok(())
    })
}

/// Adds and removes addresses and prefixes of clients that send no requests. Returns the number of changes.
fn change_many(tool: &ToaTc) -> Result<u32> {
    let address = |number: u32| std::net::Ipv4Addr::from(0x0b00_0000 + (number << 8)).to_string();
    let rules: Vec<String> = (0..CHANGES_PER_SECOND / 2)
        .map(|number| if number % 8 == 0 { address(number) + "/24" } else { address(number) })
        .collect();
    for change in ["add", "remove"] {
        tool.watch_all(change, &rules)?;
    }
    Ok(CHANGES_PER_SECOND)
}

#[test]
fn a_paused_reader_makes_rings_lose_what_the_ledger_says_and_memory_does_not_grow() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let options: Vec<_> = (0..2 * (PROBES + CONNECTIONS)).map(|number| toa_option(client(number))).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let mut tool = ToaTc::attach_piped(&lab.server, &["--any", "--ring-size", "65536"])?;
    let mut pipe = tool.process().child().stdout.take().context("no pipe")?;

    // Nothing reads the pipe: the first load fills it and the rings, and the second finds no room.
    let mut memory = Vec::new();
    for _ in 0..2 {
        let load =
            Load { connections: CONNECTIONS, duration: Duration::from_secs(2), requests: Requests::Small };
        wrk::run(&lab.balancer.namespace, nginx_address(), load)?;
        memory.push(resident_kib(tool.id())?);
    }
    let reader = thread::spawn(move || -> Result<String> {
        let mut text = String::new();
        pipe.read_to_string(&mut text)?;
        Ok(text)
    });
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let stdout = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let output = Output { stdout, ..output };
    let logged = nginx.stop()?;

    let ledger = output.ledger()?;
    ledger.check()?;
    let size = logged.first().context("nothing is logged")?.request_length;
    let (printed, lost) = (output.requests()?.len(), ledger.bytes("lost")? / size);
    println!("{} logged = {printed} printed + {lost} lost; resident {memory:?} KiB", logged.len());
    assert!(lost > 0 && printed > 0, "{}", output.stderr);
    assert_eq!(u64::try_from(printed)? + lost, u64::try_from(logged.len())?, "{}", output.stderr);
    let [first, second] = memory[..] else { anyhow::bail!("two looks") };
    assert!(second < first + (1 << 10), "{memory:?}");
    Ok(())
}

#[test]
fn a_ring_that_is_too_small_loses_and_says_so() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = check_all_watched(&["--ring-size", "4096"], Duration::from_secs(3))?;
    assert!(lost > 0, "nothing was lost: the test shows nothing");
    Ok(())
}
