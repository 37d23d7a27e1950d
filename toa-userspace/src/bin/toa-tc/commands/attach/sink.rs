//! Where the results of a run go: to stdout, and packets also to a capture.

use anyhow::Result;
use toa_userspace::{
    live::program::attachments::Attachments, pipeline::request_limit::RequestLimit,
    print::interfaces::InterfaceName,
};

use crate::{capture_file::CaptureFile, cli::attach::AttachArgs, printer::Printer, stderr, stdout::Stdout};

/// Opens the capture if there is one, and returns what takes the results.
pub(super) fn sink(
    args: &AttachArgs,
    attachments: &Attachments,
    stdout: Stdout,
) -> Result<RequestLimit<Printer>> {
    let name = || -> InterfaceName {
        let names = attachments.names();
        Box::new(move |index| names.get(index))
    };
    let capture = args.write.as_deref().map(|path| CaptureFile::create(path, name())).transpose()?;
    if capture.is_some() && !args.results.show_secrets {
        stderr::note(format_args!("secrets are redacted in requests, but not in the packets that -w writes"));
    }
    let printer = Printer::new(&args.results, stdout, name(), attachments.may_be_several(), capture);
    Ok(RequestLimit::new(printer, args.results.count))
}
