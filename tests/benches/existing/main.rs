//! Measures what it costs to find the clients of 50,000 open connections, and how this affects nginx, which holds
//! them. Run it with `cargo xtask bench existing`.
//!
//! The connections are idle and have no TOA; a stand-in for the TOA module names their clients. The benchmark
//! measures CPU time and memory of one run, and what of it is reading the kernel's memory, then wrk's rate against the same nginx, alternately without and
//! with `flows --existing` in parallel. All of them share the machine's CPUs, as they do on a server. At the
//! end, a request on each connection must be answered, and nginx's error log must be empty.

use std::{
    fs::{self, File},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use toa_common::config::Config;
use toa_tests::{
    lab::nginx_address,
    paired_rate::{self, Compared, Leg},
    peers::wrk::{self, Load, Requests},
    process::{Process, Signal},
    tool::{
        toa_tc::{self, ToaTc},
        usage::{self, Usage},
    },
    wait,
};
use toa_userspace::{
    live::existing::{Scanner, Select},
    rule::balancers::Balancers,
};

use crate::site::{CLIENTS, OF_ONE, Site, TOTAL, check};

mod site;

/// Maximum CPU time that a run should take, in seconds.
const MAX_CPU: f64 = 2.0;

/// Number of pairs of legs.
const PAIRS: u32 = 18;
const LOAD: Load = Load { connections: 50, duration: Duration::from_secs(3), requests: Requests::Small };

/// Timeout of any run.
const RUN: Duration = Duration::from_secs(60);

/// What runs in parallel with wrk.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    OneRun,
    RunAfterRun,
}

/// Runs `flows --existing` to completion.
fn flows(site: &Site, options: &[&str], stdout: Stdio) -> Result<Usage> {
    let mut command = site.lab.server.namespace.command(toa_tc::binary()?);
    command.args(["flows", "--existing"]).args(options);
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
    let mut process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
    let usage = usage::until_end(process.id(), RUN)?;
    ensure!(process.wait(RUN)?.success(), "toa-tc flows --existing failed");
    Ok(usage)
}

/// Measures one run and checks that it names the client of every connection.
fn measure_flows(site: &Site) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("flows.json");
    let start = Instant::now();
    let usage = flows(site, &["-o", "json"], File::create(&path)?.into())?;
    let wall = start.elapsed();
    let processes = check(&path)?;
    let said = format!("{TOTAL} clients, held by {processes} processes");
    row("flows --existing -o json", wall, usage, &said);
    Ok(())
}

/// Measures `attach` until it reports that it is attached or, with `--existing`, how many connections it
/// follows.
fn measure_attach(site: &Site, is_existing: bool) -> Result<()> {
    let (options, name, line): (&[&str], _, _) = if is_existing {
        (&["--existing"], "attach --existing --ip …", "open connections: ")
    } else {
        (&[], "attach --ip …", "attached to ")
    };
    let start = Instant::now();
    let tool = ToaTc::attach(&site.lab.server, &[&["--ip", "203.0.113.7"], options].concat())?;
    let said = wait::within(RUN, line, || {
        let said = tool.stderr()?;
        let mut whole = said.split_inclusive('\n').filter(|said| said.ends_with('\n'));
        Ok(whole.find(|said| said.contains(line)).map(str::to_owned))
    })?;
    let (wall, usage) = (start.elapsed(), usage::so_far(tool.id())?);
    let all = format!("following {OF_ONE} of {TOTAL} ({TOTAL} with a known client");
    ensure!(!is_existing || said.contains(&all), "attach said: {said}");
    row(name, wall, usage, said.trim());
    tool.stop(Signal::Terminate)?.succeeded().map(drop)
}

/// Compares listing the sockets and reading their memory with a scan, which also queries the servers' sockets. Both run
/// in this process, and are of this thread.
fn measure_memory(site: &Site) -> Result<()> {
    let select = Select { config: &Config::DEFAULT, balancers: &Balancers::default() };
    site.lab.server.namespace.run(|| {
        let (scanner, loading) = cpu(Scanner::new);
        let mut scanner = scanner?;
        let (found, by_memory) = cpu(|| scanner.marked());
        let found = found?;
        if let Some(error) = scanner.without_memory() {
            bail!("the kernel's memory was not read: {error}");
        }
        let (counts, by_queries) = cpu(|| scanner.scan(&select, false, |_| {}));
        ensure!(found.total == counts?.named, "of {} connections, not all have a client", found.total);
        println!("\n| {} connections | s of CPU |", found.total);
        println!("|---|---|");
        println!("| loading the iterator | {loading:.3} |");
        println!("| listing sockets and reading their memory | {by_memory:.3} |");
        println!("| the same, and querying every socket | {by_queries:.3} |");
        println!("| ratio | {:.3} |", by_memory / by_queries);
        Ok(())
    })
}

/// Returns the CPU time that this thread needs for some work, in seconds.
fn cpu<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    let start = now();
    let result = work();
    (result, now().saturating_sub(start).as_secs_f64())
}

/// Compares wrk's rate with its rate while something else runs.
fn compare(site: &Site, name: &str, beside: Beside) -> Result<()> {
    let mut runs = 0;
    let Compared { without, ratio, low, high } = paired_rate::compare(PAIRS, |leg| {
        let beside = if leg == Leg::With { beside } else { Beside::Nothing };
        let (rate, in_leg) = one_leg(site, beside)?;
        runs += in_leg;
        Ok(rate)
    })?;
    let runs = f64::from(runs) / f64::from(PAIRS);
    println!("| {name} | {runs:.1} | {without:.0} | {ratio:.3} | {low:.3} to {high:.3} |");
    Ok(())
}

/// Runs one leg. Returns requests per second, and the number of parallel runs.
fn one_leg(site: &Site, beside: Beside) -> Result<(f64, u32)> {
    let balancer = &site.lab.balancer.namespace;
    thread::scope(|scope| {
        let load = scope.spawn(|| wrk::run(balancer, nginx_address(), LOAD));
        let end = Instant::now() + LOAD.duration;
        let mut runs = 0;
        while Instant::now() < end
            && match beside {
                Beside::Nothing => false,
                Beside::OneRun => runs == 0,
                Beside::RunAfterRun => true,
            }
        {
            flows(site, &[], Stdio::null())?;
            runs += 1;
        }
        let report = load.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok((report.rate, runs))
    })
}

fn row(name: &str, wall: Duration, usage: Usage, said: &str) {
    let (wall, cpu) = (wall.as_secs_f64(), usage.cpu.as_secs_f64());
    let verdict = if cpu <= MAX_CPU { "" } else { " (missed)" };
    println!("| {name} | {wall:.2} | {cpu:.2}{verdict} | {} | {said} |", usage.peak_kib / 1024);
}

fn main() -> Result<()> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().context("no load")?;
    println!("Before it began, {load} processes wanted a CPU: where others work, rates are theirs, too.");
    let site = Site::new()?;
    println!("{TOTAL} idle connections to nginx, {CLIENTS} clients. At most {MAX_CPU:.2} s of CPU time.\n");
    println!("| toa-tc | s | s of CPU | MiB resident at most | |");
    println!("|---|---|---|---|---|");
    measure_flows(&site)?;
    measure_attach(&site, false)?;
    measure_attach(&site, true)?;
    measure_memory(&site)?;
    println!(
        "\nwrk with {} connections for {} s a leg, {PAIRS} pairs in the order ABBA. The intervals have the median of \
         endlessly many pairs within, {:.0} of 100 times.\n",
        LOAD.connections,
        LOAD.duration.as_secs(),
        paired_rate::CONFIDENCE * 100.0
    );
    println!("| beside wrk | runs a leg | requests/s without | ratio, median | interval |");
    println!("|---|---|---|---|---|");
    compare(&site, "nothing", Beside::Nothing)?;
    compare(&site, "one flows --existing", Beside::OneRun)?;
    compare(&site, "flows --existing, run after run", Beside::RunAfterRun)?;
    site.finish()?;
    println!("\nAll {TOTAL} connections were answered again at the end; nginx's error log is empty.");
    Ok(())
}
