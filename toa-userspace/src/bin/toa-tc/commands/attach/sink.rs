//! Where the results of a run go: to stdout, and packets also to a capture.

use anyhow::{Context as _, Result};
use toa_userspace::{
    live::{
        host::{sock_diag::SockDiag, workload::Workloads},
        program::attachments::Attachments,
    },
    pipeline::request_limit::RequestLimit,
    print::interfaces::InterfaceName,
    workload::WorkloadOf,
};

use crate::{
    capture_file::{CaptureFile, Destination},
    cli::attach::AttachArgs,
    otlp::Exporter,
    output_file::OutputFile,
    printer::{Lookups, Printer},
    stderr,
    stdout::Stdout,
    top::Top,
};

/// Returns what takes the results, and packets if a capture is written: to `capture`, or to stdout without that. Requests
/// also go to `otlp`.
pub(super) fn sink(
    args: &AttachArgs,
    attachments: &Attachments,
    stdout: Stdout,
    capture: Option<Destination>,
    files: &[OutputFile],
    otlp: Option<&Exporter>,
    top: Option<Top>,
) -> Result<RequestLimit<Printer>> {
    files.iter().try_for_each(OutputFile::begin).context("cannot empty the capture")?;
    let name = || -> InterfaceName {
        let names = attachments.names();
        Box::new(move |index| names.get(index))
    };
    let lookups = || Lookups { interface_name: name(), workload: workload() };
    let capture = args.write.as_ref().map(|_| CaptureFile::new(capture, name())).transpose()?;
    if capture.is_some() && !args.results.show_secrets {
        stderr::note(format_args!("secrets are redacted in requests, but not in the packets that -w writes"));
    }
    let otlp = otlp.map(|exporter| (exporter.queue(), lookups()));
    let printer = Printer::new(&args.results, stdout, lookups(), attachments.may_be_several(), capture, otlp);
    Ok(RequestLimit::new(printer.with_top(top), args.results.count))
}

/// Returns what finds the workloads of this network namespace's servers, if the kernel lists its sockets.
fn workload() -> Option<WorkloadOf> {
    let mut workloads = Workloads::new(SockDiag::new().ok()?);
    Some(Box::new(move |server| workloads.get(server)))
}
