//! Fields as they are written, kept from one head to the next: most have been written before.

use crate::http::head::{Field, MAX_LINE_LEN, Place};

/// The texts of fields by the places of their lines.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Text>);

/// The text of a line.
#[derive(Clone, Debug, Default)]
struct Text {
    of: Option<Place>,
    text: Vec<u8>,
}

impl Fields {
    /// Appends to `out` what `write` appends to its argument for a field. It must depend on nothing but the line.
    #[inline]
    pub(super) fn put(&mut self, field: Field<'_>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.put_kept(field, out) {
            self.write(field, out, write);
        }
    }

    /// Appends what is kept of a field to `out`. Returns whether anything is.
    #[inline]
    fn put_kept(&self, field: Field<'_>, out: &mut Vec<u8>) -> bool {
        let Some(place) = field.place() else { return false };
        match self.0.get(place.slot()) {
            Some(kept) if kept.of == Some(place) && !kept.text.is_empty() => {
                out.extend_from_slice(&kept.text);
                true
            }
            _ => false,
        }
    }

    /// Appends what `write` appends, and keeps it.
    fn write(&mut self, field: Field<'_>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write(out);
        let Some(place) = field.place() else { return };
        if self.0.is_empty() {
            self.0.resize(Place::SLOTS, Text::default());
        }
        let Some(kept) = self.0.get_mut(place.slot()) else { return };
        kept.of = Some(place);
        kept.text.clear();
        // At once, so that hardly any longer text needs more.
        kept.text.reserve(MAX_LINE_LEN);
        kept.text.extend_from_slice(out.get(start..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::tests::first_request;

    #[test]
    fn a_text_is_appended_again_for_the_same_line_only() {
        let long = "a".repeat(MAX_LINE_LEN);
        let head =
            format!("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\nhost:  a\r\nhost: a\r\nhost: {long}\r\n\r\n");
        let request = first_request(head.as_bytes(), 0);
        let (mut fields, mut out) = (Fields::default(), Vec::new());
        for (number, field) in (b'0'..).zip(request.fields().chain(request.fields())) {
            fields.put(field, &mut out, |out| out.push(number));
        }
        // The fourth is the first one with a place, because its line came before.
        assert_eq!(out, b"0123456739");
    }
}
