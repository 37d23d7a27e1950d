//! Fields as they are written, kept from one head to the next: most have been written before.

use crate::{
    http::head::Field,
    memo::{MAX_LEN, Place},
};

/// The texts of fields by their lines.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Text>);

/// The text of a line.
#[derive(Clone, Debug, Default)]
struct Text {
    line: Vec<u8>,
    text: Vec<u8>,
}

impl Fields {
    /// Appends to `out` what `write` appends to its argument for a field. That must depend on nothing but the line.
    pub(super) fn put(&mut self, field: &Field<'_>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(place) = field.place else { return write(out) };
        if self.0.is_empty() {
            self.0.resize(Place::COUNT, Text::default());
        }
        let Some(kept) = self.0.get_mut(place.number()) else { return write(out) };
        if kept.line == field.line && !kept.text.is_empty() {
            out.extend_from_slice(&kept.text);
            return;
        }
        let start = out.len();
        write(out);
        kept.line.clear();
        // At once, so that hardly any longer line needs more.
        kept.line.reserve_exact(MAX_LEN);
        kept.line.extend_from_slice(field.line);
        kept.text.clear();
        kept.text.reserve(MAX_LEN);
        kept.text.extend_from_slice(out.get(start..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::tests::first_request;

    #[test]
    fn a_text_is_appended_again_for_the_same_line_only() {
        let request =
            first_request(&b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\nHost: a\r\nhost:  a\r\n\r\n"[..], 0);
        let [first, same, case, space] = request.fields().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(first.place, same.place);
        let mut fields = Fields::default();
        let mut out = Vec::new();
        let long = Field { place: None, ..first };
        let moved = Field { place: case.place, ..first };
        for (number, field) in
            [first, same, case, space, first, long, long, moved, case].into_iter().enumerate()
        {
            fields.put(&field, &mut out, |out| out.push(b'0' + number as u8));
        }
        assert_eq!(out, b"002305678");
    }
}
