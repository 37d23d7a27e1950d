//! Reads rules from a file or stdin.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use anyhow::{Context as _, Error, Result, bail};
use toa_userspace::rule::{
    Rule,
    list::{self, ListError},
};

use crate::error::UsageError;

/// Reads the rules in the file at `path`, or of stdin if that is `-`. A wrong line is a usage error.
pub(crate) fn read(path: &Path) -> Result<Vec<Rule>> {
    if is_stdin(path) {
        return named(list::read(io::stdin().lock()), "stdin");
    }
    let name = path.display().to_string();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && name.parse::<Rule>().is_ok() => {
            let hint = "give it to --ip or to watch add, or rules in a file";
            return Err(UsageError(format!("{name} is a rule, not a file of rules: {hint}")).into());
        }
        opened => opened.with_context(|| format!("cannot open {name}"))?,
    };
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("cannot read {name}: it is a directory");
    }
    named(list::read(BufReader::new(file)), &name)
}

/// Returns whether a path means stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Adds the name of the input to an error.
fn named(rules: Result<Vec<Rule>, ListError>, name: &str) -> Result<Vec<Rule>> {
    rules.map_err(|error| match error {
        ListError::Line { .. } => UsageError(format!("{name}: {error}")).into(),
        ListError::Input(error) => Error::new(error).context(format!("cannot read {name}")),
    })
}
