//! The rows of the table: what runs beside nginx.

use crate::empty_probes::Place;

/// A row.
#[derive(Debug)]
pub(crate) struct Row {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What runs.
    pub(crate) program: Program,
}

/// What runs beside nginx.
#[derive(Debug)]
pub(crate) enum Program {
    /// Programs that do nothing, at the function that reads.
    EmptyProbes(Place),
    /// `toa-tc attach`, with these options.
    Watching(&'static [&'static str]),
    /// The same, of which every request is to be printed.
    Printing(&'static [&'static str]),
}

impl Row {
    /// Returns whether all requests are to be printed.
    pub(crate) fn prints(&self) -> bool {
        matches!(self.program, Program::Printing(_))
    }
}

/// All rows.
pub(crate) const ROWS: [Row; 7] = [
    Row { name: "empty probes at SSL_read", program: Program::EmptyProbes(Place::Function) },
    Row { name: "empty probes where toa-tc has its own", program: Program::EmptyProbes(Place::OfTool) },
    Row {
        name: "an empty probe there, at the entry alone",
        program: Program::EmptyProbes(Place::OfToolAtEntry),
    },
    Row { name: "toa-tc without --tls", program: Program::Watching(&["--ip", "192.0.2.1"]) },
    Row {
        name: "toa-tc --tls, nothing watched",
        program: Program::Watching(&["--ip", "192.0.2.1", "--tls"]),
    },
    Row { name: "toa-tc --tls, 100 % watched, text", program: Program::Printing(&["--any", "--tls"]) },
    Row {
        name: "toa-tc --tls, 100 % watched, JSON",
        program: Program::Printing(&["--any", "--tls", "--output", "json"]),
    },
];
