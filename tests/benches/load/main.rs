//! Measures what a program that shows requests costs nginx at full rate, and what it shows. Run it with
//! `cargo xtask bench load`.
//!
//! wrk sends requests over a veth pair to nginx, which logs them, in pairs of legs: with a program beside nginx, and bare.
//! All of them share the machine's CPUs, as they do on a server. A program counts as having shown a request if its output
//! has the request's identifier. A run of all rows and the default number of pairs replaces the table and the plot in
//! `tests/benches`.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use toa_tests::paired_rate::{self, Leg};

use crate::{options::Options, row::Row, summary::Summary};

mod cost;
mod ids;
mod leg;
mod options;
mod plot;
mod row;
mod running;
mod summary;
mod table;

/// Measures a row.
fn measure(row: &'static Row, options: &Options) -> Result<Summary> {
    let load = options.load();
    let mut legs = Vec::new();
    let compared = paired_rate::compare(options.pairs(row), |which| {
        let beside = (which == Leg::With).then_some(row);
        let leg = leg::run(beside, load, false)?;
        legs.extend(beside.map(|_| leg));
        Ok(leg.rate)
    })?;
    // By itself, because counting costs time.
    let counted = leg::run(Some(row), load, true)?;
    Ok(Summary::new(row, compared, &legs, &counted))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rows = options.rows();
    ensure!(!rows.is_empty(), "no row has such a name");
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().context("no load")?.to_owned();
    println!("Before it began, {load} processes wanted a CPU: where others work, rates are theirs, too.");
    println!("{} rows, about {} minutes.\n", rows.len(), options.time().as_secs().div_ceil(60));
    let begin = Instant::now();
    println!("{}", table::HEADER);
    let mut summaries = Vec::new();
    for row in rows {
        let summary = measure(row, &options).with_context(|| row.name)?;
        println!("{}", table::line(&summary));
        summaries.push(summary);
    }
    println!("\nIt took {} minutes.", begin.elapsed().as_secs().div_ceil(60));
    if options.is_complete() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        fs::write(directory.join("load.md"), table::page(&summaries, &options, &load)?)?;
        plot::draw(&summaries, &directory.join("load.svg"))?;
        println!("load.md and load.svg in {} are replaced.", directory.display());
    }
    Ok(())
}
