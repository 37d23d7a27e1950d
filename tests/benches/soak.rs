//! Watches everything for ten minutes at full rate, with requests of all sizes: nothing is lost, and neither memory nor
//! descriptors grow. Run it with `cargo xtask bench soak`.

use std::{collections::HashSet, net::SocketAddr, thread, time::Duration};

use anyhow::{Result, bail, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::wrk::{self, Load, PROBES, Requests},
    process::Signal,
    tool::{
        toa_tc::ToaTc,
        usage::{descriptors, resident_kib},
    },
};

const MINUTES: u32 = 10;
/// The looks in a minute. A single one may come while a burst of requests is printed.
const LOOKS: u32 = 60;
/// The time between two looks. The last one comes shortly before the end.
const PAUSE: Duration = Duration::from_millis(998);
const CONNECTIONS: u32 = 32;

/// What memory and descriptors may grow by after the first minute, in percent.
const GROWTH: u64 = 5;

fn main() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let client = SocketAddr::from(([203, 0, 113, 9], 54321));
    let options: Vec<_> = (0..CONNECTIONS).chain(0..PROBES).map(|_| toa_option(client)).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let load = Load {
        connections: CONNECTIONS,
        duration: Duration::from_secs(u64::from(MINUTES) * 60),
        requests: Requests::Mixed,
    };

    let mut looks = Vec::new();
    let report = thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| wrk::run(&lab.balancer.namespace, nginx_address(), load));
        println!("| minute | resident KiB, median | at most | descriptors |\n|---:|---:|---:|---:|");
        for minute in 1..=MINUTES {
            let mut residents = Vec::new();
            for _ in 0..LOOKS {
                thread::sleep(PAUSE);
                residents.push(resident_kib(tool.id())?);
            }
            residents.sort_unstable();
            let [Some(memory), Some(most)] = [residents.get(residents.len() / 2), residents.last()] else {
                bail!("nobody looked");
            };
            let descriptors = u64::try_from(descriptors(tool.id())?)?;
            println!("| {minute} | {memory} | {most} | {descriptors} |");
            looks.push([*memory, descriptors]);
        }
        load.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
    })?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let ledger = output.ledger()?;
    ledger.check()?;

    let ids = || output.stdout.lines().filter_map(|line| line.trim_start().strip_prefix("x-request-id: "));
    let (printed, ids) = (ids().count(), ids().collect::<HashSet<_>>());
    let missing = logged.iter().filter(|request| !ids.contains(request.request_id.as_str())).count();
    let uploaded: u64 = logged.iter().map(|request| request.request_length).sum();
    println!(
        "\n{:.0} requests a second; {} logged with {} MB, {printed} printed, {missing} missing, {} packets lost",
        report.rate,
        logged.len(),
        uploaded / 1_000_000,
        ledger.packets("lost")?
    );
    let copied = ledger.bytes("delivered")? + ledger.bytes("cut")? + ledger.bytes("lost")?;
    println!("Copied of what arrived: {:.2} %", percent(copied, ledger.bytes("matched")?));
    ensure!(missing == 0 && printed == logged.len() && ledger.packets("lost")? == 0, "{}", output.stderr);
    let (first, last) = (looks.first(), looks.last());
    for (before, after) in first.into_iter().flatten().zip(last.into_iter().flatten()) {
        ensure!(after * 100 <= before * (100 + GROWTH), "grown by more than {GROWTH} %: {before} to {after}");
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a share is for people")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
