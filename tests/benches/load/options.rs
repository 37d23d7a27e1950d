//! The options of the benchmark.

use std::time::Duration;

use clap::Parser;

use crate::row::{Program, ROWS, Row};

/// Default number of pairs of toa-tc, and of other programs.
const PAIRS: u32 = 20;
const PEER_PAIRS: u32 = 8;

/// What a leg takes in addition to its load: wrk's last requests, the lab, and reading what was written.
const OVERHEAD: Duration = Duration::from_millis(3500);

/// Measure what showing requests costs nginx
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench load")]
pub(crate) struct Options {
    /// Measure only rows whose name contains one of these
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Pairs of legs, with and without, of each row of toa-tc
    #[arg(long, value_name = "N", default_value_t = PAIRS)]
    pub(crate) pairs: u32,
    /// The same of each other program
    #[arg(long, value_name = "N", default_value_t = PEER_PAIRS)]
    pub(crate) peer_pairs: u32,
    /// Seconds of load per leg
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) seconds: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns the number of pairs of a row.
    pub(crate) fn pairs(&self, row: &Row) -> u32 {
        if matches!(row.program, Program::ToaTc(_)) { self.pairs } else { self.peer_pairs }
    }

    pub(crate) fn load(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Returns the rows to be measured.
    pub(crate) fn rows(&self) -> Vec<&'static Row> {
        let is_asked = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|it| row.name.contains(it));
        ROWS.iter().filter(is_asked).collect()
    }

    /// Returns how long the run takes, without a program that has to catch up.
    pub(crate) fn time(&self) -> Duration {
        let legs: u32 = self.rows().iter().map(|row| 2 * self.pairs(row) + 1).sum();
        (self.load() + OVERHEAD) * legs
    }

    /// Returns whether the results may be published.
    pub(crate) fn is_complete(&self) -> bool {
        self.rows.is_empty() && self.pairs >= PAIRS && self.peer_pairs >= PEER_PAIRS && self.seconds >= 3
    }
}
