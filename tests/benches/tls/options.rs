//! The options of the benchmark.

use std::time::Duration;

use clap::Parser;

use crate::row::{ROWS, Row};

/// Measure what reading TLS plaintext costs nginx
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench tls")]
pub(crate) struct Options {
    /// Measure only rows whose name contains one of these
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Pairs of legs, with and without, of each row
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) pairs: u32,
    /// Seconds of load per leg
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) seconds: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn load(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Returns the rows to be measured.
    pub(crate) fn rows(&self) -> Vec<&'static Row> {
        let is_asked = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|it| row.name.contains(it));
        ROWS.iter().filter(is_asked).collect()
    }
}
