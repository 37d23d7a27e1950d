//! The files of a run.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
};

use anyhow::Result;

use crate::{capture_file::Destination, cli::attach::AttachArgs, error::UsageError, output_file::OutputFile};

/// Returns whether a path means stdout.
fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Opens the files that the arguments name. Also returns where packets are written to, if that is a file.
pub(super) fn open_files(args: &AttachArgs) -> Result<(Vec<OutputFile>, Option<Destination>)> {
    let rotation = args.rotation;
    let capture = args.write.as_deref().filter(|path| !is_stdout(path));
    let results = args.output_file.as_deref().filter(|path| !is_stdout(path));
    let writes_to_stdout = args.write.is_some() && capture.is_none();
    if rotation.is_some() && capture.is_none() && results.is_none() {
        return Err(UsageError("nothing to rotate: give -w FILE or --output-file FILE".to_owned()).into());
    }
    if writes_to_stdout && results.is_some() {
        let error = "-w - writes packets to stdout, which --output-file replaces: give -w a file";
        return Err(UsageError(error.to_owned()).into());
    }
    if writes_to_stdout && io::stdout().is_terminal() {
        let error =
            "-w - writes binary data: redirect it to a file, or pipe it, as in -w - | wireshark -k -i -";
        return Err(UsageError(error.to_owned()).into());
    }
    let mut files = Vec::new();
    if let Some(path) = results {
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
