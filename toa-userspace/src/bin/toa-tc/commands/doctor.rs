//! The command `doctor`: prints what this host can do.

use anyhow::Result;
use serde::Serialize;
use toa_userspace::{
    live::doctor::{
        check::{Check, State},
        examine,
    },
    print::{escape::printable, push_fmt},
};

use crate::{
    cli::{doctor::DoctorArgs, run::ReportFormat},
    error::AlreadyReported,
    format::json,
    printer::print,
};

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
pub(crate) fn run(args: &DoctorArgs) -> Result<()> {
    let checks = examine();
    let ok = checks.iter().all(|check| check.state != State::Fail);
    let text = match args.output {
        ReportFormat::Text => checks.iter().map(line).collect(),
        ReportFormat::Json => {
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
    if ok { Ok(()) } else { Err(AlreadyReported.into()) }
}

fn line(check: &Check) -> String {
    let mut text = format!("{:<4}  {}: {}", check.state.name(), check.name, check.found);
    if let Some(advice) = &check.advice {
        push_fmt(&mut text, format_args!(" ({advice})"));
    }
    text.push('\n');
    printable(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_interface_cannot_control_the_terminal() {
        let found = "e\u{1b}[31m\u{9b}m: empty".to_owned();
        let check = Check { name: "ingress chain", state: State::Ok, found, advice: None };
        assert_eq!(line(&check), "ok    ingress chain: e\\u{1b}[31m\\u{9b}m: empty\n");
    }
}
