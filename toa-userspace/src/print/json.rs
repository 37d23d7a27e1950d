//! Results as JSON Lines for machines: one object per line, as described by `schema/toa-tc.schema.json`.
//!
//! Text that a client chose (method, target, names, values, preview) is escaped as in the text format, even where JSON
//! could carry it: `\xNN` for every byte that is not printable UTF-8, `\\` for a backslash. So a decoded line cannot
//! act on a terminal either, and the original bytes can be recovered. The text is also redacted as in the text format.

mod doubts;
mod event;
mod head;
mod line;
mod literal;
pub mod message;
pub mod value;

use std::{fmt, io::Write};

use serde::Serialize;

use super::{
    interfaces::{InterfaceName, Interfaces},
    lines::Lines,
    summary_table::{Counts, SummaryTable},
    view::View,
};
use crate::{
    event::Event,
    ledger::losses::Loss,
    pipeline::{Sink, connection::Connection},
    print::ledger::Summary,
    workload::WorkloadOf,
};
use event::{Ledger, LossLine, SummaryLine};
use line::Form;
use value::{Host, json};

/// Writes results as JSON Lines.
pub struct Json<W> {
    lines: Lines<W>,
    host_name: String,
    form: Form,
}

impl<W: Write> Json<W> {
    /// Creates a printer that writes to `writer`. Without `workload`, as for packets of another host, no workload is known.
    pub fn new(
        writer: W,
        view: impl Into<View>,
        host_name: String,
        interface_name: InterfaceName,
        workload: Option<WorkloadOf>,
    ) -> Self {
        let host = json(&Host { name: &host_name });
        let form = Form::new(view.into(), host, Interfaces::new(interface_name), workload);
        Self { lines: Lines::new(writer), host_name, form }
    }

    /// Adds `ns` nanoseconds to the time of every event that is printed from now on.
    pub fn shift_times(&mut self, ns: i64) {
        self.form.shift_times(ns);
    }

    /// Returns the lines that were not written yet.
    pub fn lines(&mut self) -> &mut Lines<W> {
        &mut self.lines
    }

    /// Prints the counts of each group, and of those without room in the table, as of `time_ns` nanoseconds since the Unix
    /// epoch.
    pub fn summary(&mut self, groups: &SummaryTable, time_ns: u64) {
        let Self { lines, host_name, form } = self;
        let by: Vec<_> = groups.by().names().collect();
        let rows = groups.rows().into_iter().map(|row| (Some(row.values), row.counts));
        let others = (groups.others() != Counts::default()).then_some((None, groups.others()));
        for (values, mut counts) in rows.chain(others) {
            counts.first_ns = form.shifted(counts.first_ns);
            counts.last_ns = form.shifted(counts.last_ns);
            put_line(lines, &SummaryLine::new(&by, values.as_deref(), &counts, time_ns, host_name));
        }
    }

    /// Prints what was lost, as of `time_ns` nanoseconds since the Unix epoch.
    pub fn loss(&mut self, loss: &Loss, time_ns: u64) {
        let time_ns = self.form.shifted(time_ns);
        put_line(&mut self.lines, &LossLine::new(loss, time_ns, &self.host_name));
    }

    /// Prints the ledger, which must be the last line, as of `time_ns` nanoseconds since the Unix epoch.
    pub fn ledger(&mut self, summary: &Summary<'_>, time_ns: u64) {
        put_line(&mut self.lines, &Ledger::new(summary, time_ns, &self.host_name));
    }
}

fn put_line(lines: &mut Lines<impl Write>, object: &impl Serialize) {
    lines.add(|out| {
        out.append(&mut json(object));
        out.push(b'\n');
    });
}

impl<W: Write> Sink for Json<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let Self { lines, form, .. } = self;
        lines.add(|out| form.put_line(connection, event, out));
    }
}

impl<W: fmt::Debug> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("lines", &self.lines).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
