//! What a head says, read from the bytes that a test sends, independently of the tool.

use std::collections::BTreeMap;

/// The values of fields by their names in lower case.
pub type Fields = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// A head that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SentHead {
    /// The request line, without its line end and the spaces before it.
    pub line: Vec<u8>,
    /// The method.
    pub method: Vec<u8>,
    /// The target.
    pub target: Vec<u8>,
    /// The version such as `1.1`; `None` if the line has none.
    pub version: Option<Vec<u8>>,
    /// The fields. Folds count as one space.
    pub fields: Fields,
}

impl SentHead {
    /// Reads a head.
    pub fn read(head: &[u8]) -> Self {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default().trim_ascii_end().to_vec();
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let method = words.next().unwrap_or_default().to_vec();
        let version = words.next_back().and_then(|word| word.strip_prefix(b"HTTP/")).map(<[u8]>::to_vec);
        let rest = line.get(method.len()..).unwrap_or_default();
        let end = version.as_ref().map_or(0, |version| version.len() + b"HTTP/".len());
        let target = rest.get(..rest.len().saturating_sub(end)).unwrap_or_default().trim_ascii().to_vec();
        let mut unfolded: Vec<Vec<u8>> = Vec::new();
        for field in lines.take_while(|line| !line.is_empty()) {
            match unfolded.last_mut() {
                Some(last) if field.starts_with(b" ") || field.starts_with(b"\t") => {
                    let value = last.trim_ascii_end().len();
                    last.truncate(value);
                    last.extend([b" ", field.trim_ascii_start()].concat());
                }
                _ => unfolded.push(field.to_vec()),
            }
        }
        let mut fields = Fields::new();
        for field in unfolded {
            let colon = field.iter().position(|byte| *byte == b':');
            let (name, value) = field.split_at(colon.unwrap_or(field.len()));
            let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
            fields.entry(name.trim_ascii_end().to_ascii_lowercase()).or_default().push(value);
        }
        Self { line, method, target, version, fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_split_into_its_parts() {
        let head = SentHead::read(b"GET  /a b HTTP/1.2 \r\nX-A : 1\r\nx-a: 2\n \t3\r\nnone\r\n\r\nX: no\r\n");
        assert_eq!((&head.method[..], &head.target[..]), (&b"GET"[..], &b"/a b"[..]));
        assert_eq!(head.version.as_deref(), Some(&b"1.2"[..]));
        let expected =
            [(b"none".to_vec(), vec![vec![]]), (b"x-a".to_vec(), vec![b"1".to_vec(), b"2 3".to_vec()])];
        assert_eq!(head.fields, expected.into());
        let simple = SentHead::read(b"GET /a\r\n");
        assert_eq!((&simple.target[..], simple.version), (&b"/a"[..], None));
    }
}
