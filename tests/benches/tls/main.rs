//! Measures what reading TLS plaintext costs nginx at full rate, and what is printed of it. Run it with `cargo xtask bench tls`.
//!
//! wrk sends requests over TLS and a veth pair to nginx, which logs them, in pairs of legs: with something beside nginx, and
//! bare. All of them share the machine's CPUs, as they do on a server. Each of wrk's reads on nginx's side is a request, so what
//! is not printed must be among the reads that the tool says it has lost. Empty probes are the least that any tool costs that
//! reads plaintext in this way; one at the entry alone is less than any can do with.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use toa_tests::paired_rate::{self, CONFIDENCE, Leg};

use crate::{
    leg::{Beside, CONNECTIONS},
    options::Options,
    row::Row,
};

mod empty_probes;
mod leg;
mod options;
mod row;

const HEADER: &str = "\
| beside nginx | requests/s, relative to bare | interval | bare requests/s | logged | printed | reads lost, as it says | missing beside those | BPF programs: ns per run × runs per request |
|---|---|---|---:|---:|---:|---:|---:|---|";

/// Measures a row and returns its line.
fn measure(row: &Row, options: &Options) -> Result<String> {
    let mut sum = Beside::default();
    let compared = paired_rate::compare(options.pairs, |which| {
        let leg = leg::run((which == Leg::With).then_some(row), options.load(), false)?;
        if which == Leg::With {
            sum.logged += leg.beside.logged;
            sum.printed += leg.beside.printed;
            sum.lost += leg.beside.lost;
        }
        Ok(leg.rate)
    })?;
    // By itself, because counting costs time.
    let counted = leg::run(Some(row), options.load(), true)?.beside;
    #[expect(clippy::cast_precision_loss, reason = "a cost is for people")]
    let programs = counted.programs.iter().map(|cost| {
        let runs = cost.runs as f64;
        let per_request = runs / (counted.logged as f64).max(1.0);
        format!("{} {:.0} × {per_request:.2}", cost.name, cost.time.as_secs_f64() * 1e9 / runs)
    });
    let programs = programs.collect::<Vec<_>>().join(", ");
    let printed = if row.prints() {
        let missing = sum.logged.saturating_sub(sum.printed).saturating_sub(sum.lost);
        format!("{} | {} | {missing}", sum.printed, sum.lost)
    } else {
        "- | - | -".to_owned()
    };
    Ok(format!(
        "| {} | {:.3} | {:.3} to {:.3} | {:.0} | {} | {printed} | {programs} |",
        row.name, compared.ratio, compared.low, compared.high, compared.without, sum.logged
    ))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rows = options.rows();
    ensure!(!rows.is_empty(), "no row has such a name");
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().context("no load")?;
    println!("Before it began, {load} processes wanted a CPU: where others work, rates are theirs, too.");
    println!(
        "{} pairs of legs of {} s each, {CONNECTIONS} connections; median of the pairs, and its {:.0} % interval.\n\n{HEADER}",
        options.pairs,
        options.seconds,
        CONFIDENCE * 100.0
    );
    for row in rows {
        println!("{}", measure(row, &options).context(row.name)?);
    }
    Ok(())
}
