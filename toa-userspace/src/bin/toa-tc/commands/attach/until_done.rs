//! A run while it lasts.

use anyhow::Error;
use toa_userspace::live::rings::reader::Done;

use super::{
    Run, connections::follow_table, cpus::follow_cpus, duration::elapsed, exchange::exchange,
    existing::follow_existing, interfaces::follow_interfaces, losses::report_losses,
    no_match::report_no_match, sweep::sweep, tls::end_learning, top::quit, tunnels::report_tunnels,
    untrusted::report_untrusted,
};
use crate::{output_file::OutputFile, printer, stderr, stdout};

impl Run {
    /// Waits until something ends the run. Returns the reason if it is a failure other than of writing results.
    pub(super) async fn until_done(&mut self) -> Option<Error> {
        let Self {
            args,
            config,
            attachments,
            loaded,
            signals,
            flows,
            counters,
            clients,
            untrusted,
            done,
            cpus,
            rings,
            losses,
            pipeline,
            plaintext,
            top,
            ..
        } = self;
        let (names, link_changes) = (&attachments.names(), self.link_changes.take());
        let pins = self.pins.as_ref();
        let is_read = !self.files.all().iter().any(OutputFile::is_stdout);
        tokio::select! {
            is_interrupt = signals.recv() => {
                if is_interrupt && !printer::is_replacing(&args.results) && top.is_none() {
                    stderr::end_line();
                }
                None
            }
            () = elapsed(args.duration) => None,
            () = quit(top.as_mut()) => None,
            () = stdout::reader_gone(), if is_read => None,
            never = self.files.follow() => match never {},
            error = follow_interfaces(attachments, loaded, link_changes, pins) => Some(error),
            never = report_no_match(counters, clients, names, config) => match never {},
            never = report_tunnels(counters, names) => match never {},
            never = report_losses(counters, flows, pipeline, losses) => match never {},
            never = follow_cpus(cpus.as_mut(), counters, rings, pipeline.clone()) => match never {},
            never = sweep(flows, counters, pins) => match never {},
            never = exchange(pins, counters, flows, pipeline, self.metrics.take()) => match never {},
            never = follow_table(self.table.take(), pins) => match never {},
            never = follow_existing(self.existing.take(), pins) => match never {},
            never = end_learning(plaintext.as_mut()) => match never {},
            never = report_untrusted(untrusted), if config.restricts_balancers() => match never {},
            finding = done.recv() => {
                self.unwritten = finding.and_then(Done::error);
                None
            }
        }
    }
}
