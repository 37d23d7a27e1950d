//! Values that are bytes and not text. gRPC sends them in fields whose names end with `-bin`: as base64 without padding or,
//! to a peer that has allowed it in its SETTINGS, as they are behind a zero byte (gRPC's proposal G1, true binary metadata).
//! Zero begins no other value (RFC 9113 section 8.2.1).

use data_encoding::BASE64_NOPAD;

/// Returns such a value as base64, which says the same, if it is sent as it is.
pub(super) fn to_text(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let [0, bytes @ ..] = value else { return None };
    name.ends_with(b"-bin").then(|| BASE64_NOPAD.encode(bytes).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_are_shown_as_base64() {
        for (value, text) in [
            (&b"\0"[..], Some("")),
            (b"\0f", Some("Zg")),
            (b"\0fo", Some("Zm8")),
            (b"\0foo", Some("Zm9v")),
            (b"\0foob", Some("Zm9vYg")),
            (b"\0\0\r\n\xff", Some("AA0K/w")),
            (b"Zm9v", None),
            (b"", None),
        ] {
            assert_eq!(to_text(b"trace-bin", value), text.map(Vec::from), "{}", value.escape_ascii());
        }
        assert_eq!(to_text(b"x-team", b"\0f"), None);
    }
}
