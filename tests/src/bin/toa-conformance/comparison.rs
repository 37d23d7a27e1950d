//! The comparison of toa-tc with tshark for one capture.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::{
    alignment::{Difference, differences},
    cause::{Cause, Evidence},
    ours::Ours,
    theirs::{Theirs, tshark},
};

/// The result for one capture.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Requests of toa-tc.
    pub(crate) ours: usize,
    /// Requests of tshark.
    pub(crate) theirs: usize,
    /// The differences.
    pub(crate) differences: Vec<Found>,
}

/// A difference.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) side: Side,
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

/// Who has a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Ours,
    Theirs,
    Both,
}

/// Most differences of a capture that are printed with a line each.
const MAX_LINES: usize = 20;

impl Comparison {
    /// Prints the differences, those without an explanation first.
    pub(crate) fn print(&self) {
        let mut lines: Vec<_> = self.differences.iter().collect();
        lines.sort_by_key(|found| found.cause != Cause::Unexplained);
        for found in lines.iter().take(MAX_LINES) {
            println!("    {}: {}", found.cause, found.text);
        }
        if let Some(further @ 1..) = lines.len().checked_sub(MAX_LINES) {
            println!("    and {further} more");
        }
    }
}

/// Compares the requests that both programs find in a capture.
pub(crate) fn compare(file: &Path) -> Result<Comparison> {
    let (ours, theirs) = (Ours::read(file)?, Theirs::read(file)?);
    let differences = differences(&ours.requests, &theirs.requests);
    let with_other_settings =
        if differences.is_empty() { Vec::new() } else { Theirs::with_other_settings(file)? };
    let evidence = Evidence { ours: &ours, theirs: &theirs, with_other_settings: &with_other_settings };
    let found = |difference: &Difference<'_>| {
        let (side, text) = match difference {
            Difference::OnlyOurs(request) => (Side::Ours, format!("only toa-tc: {request:?}")),
            Difference::OnlyTheirs(request) => (Side::Theirs, format!("only tshark: {request:?}")),
            Difference::Differs(one, other) => (Side::Both, format!("toa-tc {one:?}, tshark {other:?}")),
        };
        Found { side, cause: evidence.cause(difference), text }
    };
    Ok(Comparison {
        ours: ours.requests.len(),
        theirs: theirs.requests.len(),
        differences: differences.iter().map(found).collect(),
    })
}

/// Checks that toa-tc finds the same requests after tshark has converted the capture to pcapng.
pub(crate) fn check_as_pcapng(file: &Path) -> Result<()> {
    let pcapng = file.with_extension("pcapng");
    let mut command = tshark(file);
    let output = command.args(["-F", "pcapng", "-w"]).arg(&pcapng).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let (one, other) = (Ours::read(file)?.requests, Ours::read(&pcapng)?.requests);
    ensure!(one == other, "as pcapng, the same capture has other requests");
    Ok(())
}
