//! The results as Markdown.

use std::fs;

use anyhow::{Context as _, Result};
use toa_tests::paired_rate::CONFIDENCE;

use crate::{
    leg::CONNECTIONS,
    options::Options,
    row::{Program, Shows},
    summary::Summary,
};

/// The first two lines of the table.
pub(crate) const HEADER: &str = "\
| beside nginx | requests/s, relative to bare | interval | shown | packets lost, as it says | its CPU time, ms per 1,000 requests | MiB resident at most | its BPF programs: ns per run | runs per request | share of a CPU |
|---|---|---|---|---|---|---|---|---|---|";

/// Returns the line of a row.
pub(crate) fn line(summary: &Summary) -> String {
    let Summary { row, compared, expected, shown, lost, cpu, peak_kib, programs } = summary;
    let shown = match row.shows {
        Shows::None => "-".to_owned(),
        Shows::One | Shows::All => format!("{shown} of {expected} ({})", share(*shown, *expected)),
        Shows::Stores => format!("stored {}", share(*shown, *expected)),
    };
    let lost = lost.map_or_else(|| "-".to_owned(), |lost| lost.to_string());
    let programs = programs.map_or_else(
        || "- | - | -".to_owned(),
        |(cost, runs)| format!("{:.0} | {runs:.2} | {:.3}", cost.ns_per_run, cost.share),
    );
    format!(
        "| {} | {:.3} | {:.3} to {:.3} | {shown} | {lost} | {:.1} | {} | {programs} |",
        row.name,
        compared.ratio,
        compared.low,
        compared.high,
        cpu.as_secs_f64() * 1e3,
        peak_kib / 1024,
    )
}

/// Returns a share in percent, and 100 % only if nothing is missing.
fn share(part: usize, whole: usize) -> String {
    if part == whole {
        return "100 %".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is for people")]
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    format!("{:.2} %", percent.min(99.99))
}

/// Returns the page of results.
pub(crate) fn page(summaries: &[Summary], options: &Options, load: &str) -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split('.');
    let (major, minor) = (numbers.next().context("no release")?, numbers.next().context("no release")?);
    let cpus = std::thread::available_parallelism()?;
    let bare: f64 = summaries.iter().map(|summary| summary.compared.without).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are few rows")]
    let bare = bare / summaries.len() as f64;
    let mut page = format!(
        "# What showing requests costs nginx\n\n\
         Written by `cargo xtask bench load`. Linux {major}.{minor}, {cpus} CPUs, which nginx, wrk and the program share; {load} \
         processes wanted a CPU before it began. wrk sends requests of {CONNECTIONS} connections, each of a client of its own, \
         for {} s a leg; nginx logs them, {bare:.0} per second when nothing runs beside it. {} pairs of legs of each row of \
         toa-tc and {} of each other one, in the order ABBA; median of the pairs, and its {:.0} % interval by bootstrap.\n\n\
         ![the table's ratios](load.svg)\n\n{HEADER}\n",
        options.seconds,
        options.pairs,
        options.peer_pairs,
        CONFIDENCE * 100.0,
    );
    for summary in summaries {
        page += &line(summary);
        page += "\n";
    }
    page += "\n- *Shown*: logged requests whose identifier is in what the program wrote to a file. With 1 % watched, those of \
             that client.\n\
             - CPU time is that of the program's processes, its children included. What packets cost in the kernel before they \
             reach the program is in the ratio only.\n\
             - BPF programs are counted in a leg of their own, because counting costs time, too.\n\
             - bpftrace shows the first 200 bytes of what nginx receives by a system call, and not from whom.\n\n\
             The commands:\n\n```sh\n";
    for summary in summaries {
        let command = match summary.row.program {
            Program::ToaTc(options) => format!("toa-tc attach DEVICE {} > RESULTS/out\n", options.join(" ")),
            Program::Peer(script, _) => format!("{script}\n"),
        };
        page += &command;
    }
    page += "```\n";
    Ok(page)
}
