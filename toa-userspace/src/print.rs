//! The text and JSON forms of results.

pub mod clock;
mod color;
pub mod count;
mod digits;
pub mod escape;
pub mod existing;
pub mod field_choice;
mod fields;
pub mod group_by;
pub mod hidden;
pub mod interfaces;
pub mod json;
pub mod ledger;
pub mod lines;
pub mod loss;
pub mod metrics;
pub mod no_match;
pub mod once;
#[cfg(feature = "otlp")]
pub mod otlp;
mod recent;
pub mod redact;
pub mod remembered;
mod summary;
pub mod summary_table;
pub mod table;
mod target;
pub mod text;
pub mod view;

use std::fmt::{self, Write as _};

/// Appends formatted text.
pub fn push_fmt(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use std::{
        borrow::Cow,
        io::{self, Write},
    };

    use crate::http::{HeadMemory, head::HttpRequest};

    /// Reads a head as that of the first request of a connection.
    pub(super) fn first_request<'a>(head: impl Into<Cow<'a, [u8]>>, time_ns: u64) -> HttpRequest<'a> {
        let mut request = HttpRequest::read(head, usize::MAX, &mut HeadMemory::default());
        (request.time_ns, request.number) = (time_ns, 1);
        request
    }

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
