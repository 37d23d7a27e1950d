//! The text and JSON forms of results.

pub mod count;
pub mod escape;
pub mod existing;
pub mod json;
pub mod ledger;
pub mod no_match;
pub mod redact;
pub mod table;
pub mod text;

use std::fmt::{self, Write as _};

/// Appends formatted text.
pub fn push_fmt(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    /// Keeps what is written, one entry per write.
    #[derive(Default)]
    pub(super) struct Writes(pub(super) Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
