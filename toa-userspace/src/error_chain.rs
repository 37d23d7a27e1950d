//! An error with its causes, as text.

use std::{error::Error, fmt};

/// Displays an error and its causes: `cannot read the file: permission denied`.
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::existing::sockets::SocketsError;

    #[test]
    fn every_cause_is_there() {
        let error = SocketsError::Read(std::io::Error::from_raw_os_error(libc::EIO));
        let text = ErrorChain(&error).to_string();
        assert_eq!(text, "cannot read the socket iterator: Input/output error (os error 5)");
    }
}
