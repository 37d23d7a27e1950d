//! The errors that decide the exit code.

use std::{error::Error, fmt};

/// A usage error that the command-line parser does not detect.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}

/// An error that was already reported.
#[derive(Debug)]
pub(crate) struct AlreadyReported;

impl fmt::Display for AlreadyReported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl Error for AlreadyReported {}

/// The command has worked, but found none of what it looks for. The text says so, or is empty if the output does.
#[derive(Debug)]
pub(crate) struct NothingFound(pub(crate) String);

impl fmt::Display for NothingFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NothingFound {}

impl NothingFound {
    /// Fails if `is_empty`.
    pub(crate) fn check(is_empty: bool) -> Result<(), Self> {
        if is_empty { Err(Self(String::new())) } else { Ok(()) }
    }
}
