//! Responsible for the command `doctor`. Not responsible for the checks.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use toa_userspace::live::doctor::{Check, State, examine};

use super::{Output, Said, json, print};

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Serialize)]
struct Report<'a> {
    /// Whether attach would work.
    ok: bool,
    checks: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'static str,
    state: &'static str,
    found: &'a str,
    advice: Option<&'a str>,
}

/// Runs the command. Exit code 0 if `attach` would work, else 1.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checks = examine();
    let ok = checks.iter().all(|check| check.state != State::Fail);
    let text = match args.output {
        Output::Text => checks.iter().map(line).collect(),
        Output::Json => {
            let lines = checks.iter().map(|check| Line {
                name: check.name,
                state: check.state.name(),
                found: &check.found,
                advice: check.advice.as_deref(),
            });
            json(&Report { ok, checks: lines.collect() })?
        }
    };
    print(&text)?;
    if ok { Ok(()) } else { Err(Said.into()) }
}

fn line(check: &Check) -> String {
    let mut text = format!("{:<4}  {}: {}", check.state.name(), check.name, check.found);
    if let Some(advice) = &check.advice {
        // Memory does not refuse.
        let _ = write!(text, " ({advice})");
    }
    text.push('\n');
    text
}
