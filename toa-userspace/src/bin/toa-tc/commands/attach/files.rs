//! The files of a run.

use std::path::Path;

use anyhow::Result;

use crate::{capture_file::Destination, cli::attach::AttachArgs, error::UsageError, output_file::OutputFile};

/// Means stdout.
const STDOUT: &str = "-";

/// Opens the files that the arguments name. Also returns where packets are written to, if that is a file.
pub(super) fn open_files(args: &AttachArgs) -> Result<(Vec<OutputFile>, Option<Destination>)> {
    let rotation = args.rotation;
    let capture = args.write.as_deref().filter(|path| *path != Path::new(STDOUT));
    if rotation.is_some() && capture.is_none() && args.output_file.is_none() {
        return Err(UsageError("nothing to rotate: give -w FILE or --output-file FILE".to_owned()).into());
    }
    if args.write.is_some() && capture.is_none() && args.output_file.is_some() {
        let error = "-w - writes packets to stdout, which --output-file replaces: give -w a file";
        return Err(UsageError(error.to_owned()).into());
    }
    let mut files = Vec::new();
    if let Some(path) = &args.output_file {
        files.push(OutputFile::as_stdout(path, rotation)?);
    }
    let capture = capture.map(|path| {
        let (output, (file, rest)) = OutputFile::of_capture(path, rotation)?;
        files.push(output);
        Ok::<_, anyhow::Error>(Destination { path: path.to_owned(), file, files: rest })
    });
    let capture = capture.transpose()?;
    // However they are spelled.
    if let [one, other] = &files[..]
        && one.is_same_as(other)
    {
        return Err(UsageError("-w and --output-file name the same file".to_owned()).into());
    }
    Ok((files, capture))
}
