//! Measures what a packet costs in the kernel: runs the shipped program with `BPF_PROG_TEST_RUN` on real
//! frames and compares it with a program that only parses the headers and looks up the connection.
//!
//! Each result is the time beyond that of an empty program, absolute and relative to the reference. All programs run in
//! turn in each of many short rounds. Other load on the machine only makes a run slower, so what counts is the time that a
//! tenth of a program's runs do not exceed. The output also has the ratio of the medians, which such load raises.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions, include_bytes_aligned,
    maps::{HashMap, MapData},
    programs::SchedClassifier,
};
use toa_common::{address::Address, config::Config, flow::Flow, flow_key::FlowKey, limits::MAX_FLOWS};
use toa_packets::{
    builder::{PacketBuilder, UDP, flags},
    toa_option::toa_option,
};
use toa_userspace::{
    live::{
        maps::watch::Watch,
        program::load::{LoadOptions, Loaded},
    },
    rule::Rule,
};

static YARDSTICKS: &[u8] = include_bytes_aligned!(env!("TOA_BENCH_OBJECT"));

/// Number of rounds.
const ROUNDS: usize = 151;
/// Runs of one program on one frame per round: about a millisecond, in which the load rarely changes.
const REPEAT: u32 = 20_000;

/// A loaded program with its maps in a certain state.
struct Setup {
    name: &'static str,
    loaded: Loaded,
}

impl Setup {
    fn new(name: &'static str, config: &Config, rules: &[Rule], is_full: bool) -> Result<Self> {
        let options = LoadOptions { config: *config, ..LoadOptions::default() };
        let mut loaded = Loaded::new(["toa_ingress_eth"], &options)?;
        let mut map = |name| loaded.take_map(name);
        let (rules_map, prefixes, shapes, flows) =
            (map("WATCH")?, map("PREFIXES")?, map("SHAPES")?, map("FLOWS")?);
        Watch::new(rules_map, prefixes, shapes)?.add(rules)?;
        if is_full {
            fill(flows.try_into()?)?;
        }
        Ok(Self { name, loaded })
    }
}

/// Fills the map of followed connections with connections other than those of the frames.
fn fill(mut flows: HashMap<MapData, FlowKey, Flow>) -> Result<()> {
    let to = Address::from_ipv4(&[10, 9, 0, 2]);
    for number in 0..MAX_FLOWS {
        let source = Address::from_ipv4(&(0x0a80_0000 + number).to_be_bytes());
        flows.insert(FlowKey { source, destination: to, ports: number }, Flow::EMPTY, 0)?;
    }
    Ok(())
}

/// Returns the nanoseconds of one run.
fn time(program: &mut SchedClassifier, frame: &[u8]) -> Result<f64> {
    let options = TestRunOptions { data_in: Some(frame), repeat: REPEAT, ..TestRunOptions::default() };
    // The kernel has already divided by the number of runs, in whole nanoseconds.
    Ok(program.test_run(options)?.duration.as_secs_f64() * 1e9)
}

/// A frame and the maximum that it may cost, as a ratio to the reference.
struct Case {
    setup: usize,
    name: &'static str,
    frame: Vec<u8>,
    target: f64,
}

/// Returns the frames: typical packets of a server, and packets that open a connection.
fn frames() -> [(&'static str, Vec<u8>, f64); 10] {
    const NOP: u8 = 1;
    let timestamp = [NOP, NOP, 8, 10, 0, 1, 2, 3, 0, 4, 5, 6];
    let sack = [NOP, NOP, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0];
    let syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, NOP, 3, 3, 7];
    let toa = toa_option(([203, 0, 113, 9], 54321).into());
    let body = [b'x'; 1000];
    let data = PacketBuilder::ipv4().flags(flags::ACK).payload(&body);
    let data_ipv6 = PacketBuilder::ipv6().flags(flags::ACK).payload(&body);
    let opening =
        |flags: u8, options: &[&[u8]]| PacketBuilder::ipv4().flags(flags).options(&options.concat());
    [
        ("UDP", data.clone().protocol(UDP), 0.35),
        ("ARP", data.clone().ether_type(0x0806), 0.25),
        ("data", data.clone(), 2.0),
        ("data, timestamp", data.clone().options(&timestamp), 2.0),
        ("data, IPv6, timestamp", data_ipv6.options(&timestamp), 2.0),
        ("data, timestamp, SACK", data.options(&[timestamp, sack].concat()), 3.0),
        ("SYN", opening(flags::SYN, &[&syn]), 3.25),
        ("SYN, TOA", opening(flags::SYN, &[&toa, &syn]), 7.0),
        ("ACK, TOA", opening(flags::ACK, &[&toa]), 7.0),
        ("ACK, timestamp, TOA", opening(flags::ACK, &[&timestamp, &toa]), 7.0),
    ]
    // A test run takes place on the loopback device, which has the address 0. Packets to another host are rejected early.
    .map(|(name, packet, target)| (name, packet.station([0; 6]).build(), target))
}

/// Returns `count` rules for addresses of clients that send nothing.
fn addresses(count: u32) -> Vec<Rule> {
    (0..count).map(|number| Rule::Address(IpAddr::from((0x0b00_0000 + number * 3).to_be_bytes()))).collect()
}

/// Returns `count` prefixes that contain no client: IPv4 of lengths 17 to 28, and IPv6 of length 64.
fn prefixes(count: u32) -> Result<Vec<Rule>> {
    let prefix = |number: u32| {
        let length = 17 + number % 12;
        let v4 = Ipv4Addr::from((number.wrapping_mul(0x9e37_79b9) | 1 << 31) & (u32::MAX << (32 - length)));
        let text = match number % 4 {
            0 => format!("{}/{}", Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64), 64),
            _ => format!("{v4}/{length}"),
        };
        text.parse().with_context(|| format!("{text} is no prefix"))
    };
    let mut rules = (0..count).map(prefix).collect::<Result<Vec<Rule>>>()?;
    rules.sort_unstable();
    rules.dedup();
    Ok(rules)
}

/// The measurements for one state of the map of connections.
struct Bench {
    title: &'static str,
    yardsticks: Ebpf,
    setups: Vec<Setup>,
    cases: Vec<Case>,
}

impl Bench {
    fn new(title: &'static str, is_full: bool) -> Result<Self> {
        let mut yardsticks = EbpfLoader::new().load(YARDSTICKS)?;
        for name in ["toa_bench_empty", "toa_bench_reference"] {
            yardstick(&mut yardsticks, name)?.load()?;
        }
        if is_full {
            fill(yardsticks.take_map("FLOWS").context("no map FLOWS")?.try_into()?)?;
        }
        let three = [addresses(1), vec!["11.0.0.1:80".parse()?, ":7".parse()?]].concat();
        let many = [addresses(1), prefixes(10_000)?].concat();
        let usual = Config::DEFAULT;
        let setups = vec![
            Setup::new("1 address", &usual, &addresses(1), is_full)?,
            Setup::new("100,000 addresses", &usual, &addresses(100_000), is_full)?,
            Setup::new("three shapes", &usual, &three, is_full)?,
            Setup::new("an address and 10,000 prefixes", &usual, &many, is_full)?,
            Setup::new("--server-port 443", &usual.with_server_port(443), &addresses(1), is_full)?,
        ];
        let mut cases = Vec::new();
        for (setup, _) in setups.iter().enumerate() {
            for (name, frame, target) in frames() {
                let has_toa = name.contains("TOA");
                let target = match setup {
                    0 | 1 => target,
                    2 if has_toa => 8.5,
                    3 if has_toa => 13.0,
                    4 if name == "data" => 0.6,
                    _ => continue,
                };
                cases.push(Case { setup, name, frame, target });
            }
        }
        Ok(Self { title, yardsticks, setups, cases })
    }

    fn run(mut self) -> Result<()> {
        let (_, reference_frame, _) =
            frames().into_iter().find(|(name, ..)| *name == "data").context("no data")?;
        let mut empty = Vec::new();
        let mut reference = Vec::new();
        let mut times = vec![Vec::new(); self.cases.len()];
        for _ in 0..ROUNDS {
            empty.push(time(yardstick(&mut self.yardsticks, "toa_bench_empty")?, &reference_frame)?);
            reference.push(time(yardstick(&mut self.yardsticks, "toa_bench_reference")?, &reference_frame)?);
            for (case, times) in self.cases.iter().zip(&mut times) {
                let setup = self.setups.get_mut(case.setup).context("no such setup")?;
                times.push(time(setup.loaded.program("toa_ingress_eth")?, &case.frame)?);
            }
        }
        let nothing = quantile(&empty, TENTH);
        let least = quantile(&reference, TENTH) - nothing;
        let usual = quantile(&reference, HALF) - quantile(&empty, HALF);
        println!("\n## {}\n", self.title);
        println!(
            "An empty program takes {nothing:.0} ns, the reference adds {least:.0} ns ({:.2} of it). {ROUNDS} rounds of {REPEAT}.\n",
            least / nothing
        );
        println!("| rules | packet | added, ns | ratio | at most | ratio of medians |");
        println!("|---|---|---|---|---|---|");
        for (case, times) in self.cases.iter().zip(&times) {
            let added = quantile(times, TENTH) - nothing;
            let ratio = added / least;
            let setup = self.setups.get(case.setup).map_or("", |setup| setup.name);
            let verdict = if ratio <= case.target { "" } else { " (missed)" };
            println!(
                "| {setup} | {} | {added:.0} | {ratio:.2} | {:.2}{verdict} | {:.2} |",
                case.name,
                case.target,
                (quantile(times, HALF) - quantile(&empty, HALF)) / usual
            );
        }
        Ok(())
    }
}

fn yardstick<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    Ok(object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

/// The parts of all times that [`quantile`] takes, as divisors.
const TENTH: usize = 10;
const HALF: usize = 2;

/// Returns the value that this part of `values` does not exceed.
fn quantile(values: &[f64], part: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / part).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    // Stay on one CPU: another one may run at another speed.
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).context("cannot stay on one CPU")?;
    Bench::new("No connection is followed", false)?.run()?;
    Bench::new("The map of followed connections is full", true)?.run()
}
