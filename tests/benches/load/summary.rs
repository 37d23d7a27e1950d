//! What all legs of a row gave.

use std::time::Duration;

use toa_tests::paired_rate::Compared;

use crate::{cost::Cost, leg::Leg, row::Row};

/// What all legs of a row gave.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) row: &'static Row,
    pub(crate) compared: Compared,
    /// Logged requests that it should have shown, and those of them that it showed.
    pub(crate) expected: usize,
    pub(crate) shown: usize,
    /// Packets that it admits to have lost, if it says so.
    pub(crate) lost: Option<u64>,
    /// CPU time in its processes per 1,000 requests that nginx logged.
    pub(crate) cpu: Duration,
    /// Peak resident memory in KiB.
    pub(crate) peak_kib: u64,
    /// What its BPF programs cost in a leg of their own, and runs per request.
    pub(crate) programs: Option<(Cost, f64)>,
}

impl Summary {
    /// Sums `legs` up. `counted` is the leg with the cost of BPF programs.
    pub(crate) fn new(row: &'static Row, compared: Compared, legs: &[Leg], counted: &Leg) -> Self {
        let beside = || legs.iter().map(|leg| leg.beside);
        let logged: usize = legs.iter().map(|leg| leg.logged).sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio is for people")]
        let (thousands, per_run) = (logged as f64 / 1000.0, counted.logged as f64);
        #[expect(clippy::cast_precision_loss, reason = "a ratio is for people")]
        let programs = counted.beside.programs.map(|cost| (cost, cost.runs as f64 / per_run.max(1.0)));
        Self {
            row,
            compared,
            expected: beside().map(|beside| beside.expected).sum(),
            shown: beside().map(|beside| beside.shown).sum(),
            lost: beside().filter_map(|beside| beside.lost).reduce(|sum, lost| sum + lost),
            cpu: beside().map(|beside| beside.cpu).sum::<Duration>().div_f64(thousands.max(1.0)),
            peak_kib: beside().map(|beside| beside.peak_kib).max().unwrap_or_default(),
            programs,
        }
    }
}
