//! What a TLS client sends in plaintext: the server name and the protocols in its `ClientHello`.
//!
//! The message may be spread over several records and segments. TLS is detected in [`crate::http::start`].

use tls_parser::{TlsExtension, parse_tls_client_hello_extension, parse_tls_handshake_client_hello};

/// Longest `ClientHello` to collect, in bytes. One with post-quantum keys and Encrypted `ClientHello` has 2 to 4 KiB.
const MAX_HELLO_BYTES: usize = 32 << 10;

/// How many offered protocols to keep.
const MAX_PROTOCOLS: usize = 32;

/// Bytes of a record's header: type, version, length (RFC 8446 section 5.1).
const RECORD_HEADER_BYTES: usize = 5;

/// Bytes of a handshake message's header: type, length (RFC 8446 section 4).
const MESSAGE_HEADER_BYTES: usize = 4;

/// `ContentType` of handshake records (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// `HandshakeType` of a `ClientHello` (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;

/// The content of a `ClientHello`. Everything is empty if it could not be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// The server's name (RFC 6066 section 3).
    pub server_name: Option<Vec<u8>>,
    /// The protocols that the client offers, in its order (RFC 7301 section 3.1).
    pub alpn: Vec<Vec<u8>>,
    /// Whether something was left out: the message is too long, or offers too many protocols.
    pub is_cut: bool,
}

impl ClientHello {
    /// Returns how many bytes its names have.
    pub(crate) fn memory(&self) -> usize {
        let names = self.server_name.iter().chain(&self.alpn).map(Vec::len);
        names.fold(0, usize::saturating_add)
    }

    /// Reads the body of the message.
    fn parse(body: &[u8]) -> Self {
        let mut hello = Self::default();
        let extensions = parse_tls_handshake_client_hello(body).ok().and_then(|(_, message)| message.ext);
        let mut rest = extensions.unwrap_or_default();
        // Extensions are parsed one by one, so that an unreadable one does not hide the others.
        while let [_, _, high, low, behind @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(next) = behind.get(len..) else {
                break;
            };
            let extension = rest.get(..len.saturating_add(4)).unwrap_or_default();
            match parse_tls_client_hello_extension(extension) {
                Ok((_, TlsExtension::SNI(names))) if hello.server_name.is_none() => {
                    let name = names.into_iter().find(|(kind, _)| kind.0 == 0);
                    hello.server_name = name.map(|(_, name)| name.to_vec());
                }
                Ok((_, TlsExtension::ALPN(protocols))) if hello.alpn.is_empty() => {
                    hello.is_cut = protocols.len() > MAX_PROTOCOLS;
                    hello.alpn = protocols.into_iter().take(MAX_PROTOCOLS).map(<[u8]>::to_vec).collect();
                }
                _ => {}
            }
            rest = next;
        }
        hello
    }
}

/// Collects a `ClientHello`.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// The header of the current record, as far as it has been read.
    header: Vec<u8>,
    /// Bytes of the current record that are still to be read.
    record_bytes: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// Takes the next bytes. Returns the message when it is complete. Returns an empty one as soon as it is clear that
    /// there is no `ClientHello` or that it is too long.
    pub fn read(&mut self, bytes: &[u8]) -> Option<ClientHello> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.record_bytes == 0 {
                let missing = RECORD_HEADER_BYTES.saturating_sub(self.header.len());
                rest = take(rest, missing, &mut self.header);
                if let [kind, major, _, high, low] = *self.header {
                    self.record_bytes = u16::from_be_bytes([high, low]).into();
                    self.header.clear();
                    if (kind, major) != (HANDSHAKE, 3) || self.record_bytes == 0 {
                        return Some(ClientHello::default());
                    }
                }
            } else {
                let before = self.message.len();
                let missing = self.message_bytes().saturating_sub(before).min(self.record_bytes);
                rest = take(rest, missing, &mut self.message);
                let taken = self.message.len().saturating_sub(before);
                self.record_bytes = self.record_bytes.saturating_sub(taken);
                if let [kind, _, _, _, body @ ..] = self.message.as_slice() {
                    let len = self.message_bytes();
                    if *kind != CLIENT_HELLO || len > MAX_HELLO_BYTES {
                        let is_cut = *kind == CLIENT_HELLO;
                        return Some(ClientHello { is_cut, ..ClientHello::default() });
                    }
                    if self.message.len() == len {
                        return Some(ClientHello::parse(body));
                    }
                }
            }
        }
        None
    }

    /// Returns how many bytes are kept.
    pub fn memory(&self) -> usize {
        self.message.len().saturating_add(self.header.len())
    }

    /// Returns the length of the message including its header, or the length of the header until that is complete.
    fn message_bytes(&self) -> usize {
        match *self.message {
            [_, high, middle, low, ..] => {
                let body = u32::from_be_bytes([0, high, middle, low]) as usize;
                body.saturating_add(MESSAGE_HEADER_BYTES)
            }
            _ => MESSAGE_HEADER_BYTES,
        }
    }
}

/// Moves at most `count` of `bytes` to `to`. Returns the rest.
fn take<'a>(bytes: &'a [u8], count: usize, to: &mut Vec<u8>) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
    to.extend_from_slice(taken);
    rest
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_len16(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &with_len16(value)].concat()
    }

    /// Returns the message with these extensions, field by field (RFC 8446 section 4.1.2).
    fn message(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(with_len16(extensions));
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &len[1..], &body].concat()
    }

    fn server_name(name: &[u8]) -> Vec<u8> {
        extension(0, &with_len16(&[&[0], &with_len16(name)[..]].concat()))
    }

    /// Wraps `message` in records of at most `size` bytes each.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1], &with_len16(part)[..]].concat()).collect()
    }

    /// Returns the records of a typical `ClientHello`.
    pub(crate) fn hello() -> Vec<u8> {
        let alpn = extension(16, &with_len16(b"\x02h2\x08http/1.1"));
        let other = [extension(0x0a0a, b""), extension(51, &[9; 1200])].concat();
        records(&message(&[other, server_name(b"api.example"), alpn].concat()), 1 << 14)
    }

    fn expected() -> ClientHello {
        ClientHello {
            server_name: Some(b"api.example".to_vec()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            is_cut: false,
        }
    }

    fn read(bytes: &[u8], step: usize) -> Option<ClientHello> {
        let mut reader = HelloReader::default();
        bytes.chunks(step).find_map(|piece| reader.read(piece))
    }

    #[test]
    fn names_are_read_however_records_and_segments_are_cut() {
        let message = hello().split_off(5);
        for size in [1, 2, 3, 5, 100, 1 << 14] {
            let bytes = records(&message, size);
            for step in [1, 2, 3, 7, 100, 1448, bytes.len()] {
                assert_eq!(read(&bytes, step), Some(expected()), "{size}, {step}");
            }
            assert_eq!(read(&bytes[..bytes.len() - 1], 100), None);
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let none = Some(ClientHello::default());
        assert_eq!(read(&records(&message(b""), 100), 100), none);
        let broken = [extension(16, b"\xff\xff"), server_name(b"x")].concat();
        let name = Some(ClientHello { server_name: Some(b"x".to_vec()), ..ClientHello::default() });
        assert_eq!(read(&records(&message(&broken), 1000), 100), name);
        let overlong = [server_name(b"x"), vec![0, 16, 0xff, 0xff]].concat();
        assert_eq!(read(&records(&message(&overlong), 1000), 100), name);
    }

    #[test]
    fn what_is_no_client_hello_is_told_at_once() {
        let none = Some(ClientHello::default());
        for bytes in [
            &b"\x17\x03\x03\x00\x10"[..],
            b"\x16\x02\x00\x00\x10",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x00\x10\x02\x00\x00\x10",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        ] {
            assert_eq!(read(bytes, 1), none, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_told() {
        let long = read(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00", 1);
        assert_eq!(long, Some(ClientHello { is_cut: true, ..ClientHello::default() }));
        for (count, is_cut) in [(MAX_PROTOCOLS, false), (MAX_PROTOCOLS + 1, true)] {
            let names = b"\x02h2".repeat(count);
            let length = u16::try_from(names.len()).unwrap().to_be_bytes();
            let alpn = extension(16, &[&length[..], &names].concat());
            let hello = read(&records(&message(&alpn), 1000), 100).unwrap();
            assert_eq!((hello.alpn.len(), hello.is_cut), (MAX_PROTOCOLS, is_cut));
        }
    }

    proptest! {
        #[test]
        fn a_damaged_one_is_read_or_not(
            damage in prop::collection::vec((0_usize..1400, any::<u8>()), 0..6),
            step in 1_usize..200,
        ) {
            let mut bytes = hello();
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if let Some(hello) = read(&bytes, step) {
                prop_assert!(hello.alpn.len() <= MAX_PROTOCOLS);
            }
        }
    }
}
