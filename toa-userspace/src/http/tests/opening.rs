//! Protocols before or in place of HTTP.

use super::*;

/// Returns a PROXY header of version 2 with `addresses` bytes of addresses, field by field.
fn proxy_v2(addresses: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(addresses.to_be_bytes());
    header.extend(vec![b'\n'; addresses.into()]);
    header
}

/// Returns what is found in a connection that begins with `bytes`, for any split into segments.
fn found(bytes: &[u8]) -> Vec<String> {
    let whole = Rig::from_syn().data(bytes).found;
    for step in 1..bytes.len().min(150) {
        let text = bytes.get(..150).unwrap_or(bytes).escape_ascii();
        assert_eq!(Rig::from_syn().pieces(bytes, step).found, whole, "{step} of {text}");
    }
    whole
}

#[test]
fn tls_is_told_by_its_hello() {
    let bytes = [&hello()[..], b"\x14\x03\x03\x00\x01\x01"].concat();
    assert_eq!(found(&bytes), ["tls api.example"]);
    let rig = Rig::from_syn().data(&bytes);
    assert_eq!(rig.ledger.opaque_bytes, bytes.len() as u64);
    assert_eq!((rig.parser.unneeded_bytes(), rig.parser.buffered_bytes()), (u64::MAX, 0));
    assert_eq!(Rig::joined().data(&bytes).found, ["tls api.example"]);
}

#[test]
fn tls_without_a_readable_hello_is_tls() {
    let broken = b"\x16\x03\x01\x02\x00\x01\xff\xff\xff";
    assert_eq!(found(broken), ["tls ?"]);
    let mut part = hello();
    part.truncate(500);
    assert_eq!(Rig::from_syn().data(&part).gap(1).data(GET).found, ["tls ?"]);
    let mut rig = Rig::from_syn().data(&part);
    assert!(rig.parser.buffered_bytes() > 400);
    rig.give_up(Cause::Finished);
    assert_eq!((rig.found, rig.ledger.not_http), (vec!["tls ?".to_owned()], 1));
    // Joined later.
    assert_eq!(Rig::joined().data(b"\x17\x03\x03\x10\x00 data").found, ["tls ?"]);
    assert_eq!(Rig::from_syn().data(b"\x17\x03\x03\x10\x00 data").found, ["other"]);
}

#[test]
fn what_a_proxy_puts_before_is_named_and_passed_over() {
    for (header, name) in [
        (b"PROXY TCP4 203.0.113.9 10.9.0.2 54321 80\r\n".to_vec(), "proxy-v1"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::2 54321 80\r\n".to_vec(), "proxy-v1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "proxy-v1"),
        (proxy_v2(0), "proxy-v2"),
        (proxy_v2(12), "proxy-v2"),
        (proxy_v2(3000), "proxy-v2"),
    ] {
        assert_eq!(found(&[&header, GET, GET].concat()), [name, "GET /1", "GET /1"]);
        assert_eq!(found(&[&header[..], &hello()].concat()), [name, "tls api.example"]);
        assert_eq!(found(&[&header[..], b"SSH-2.0-x\r\n"].concat()), [name, "other"]);
        let rig = Rig::from_syn().data(&header).data(GET);
        assert_eq!(rig.ledger.head_bytes, (header.len() + GET.len()) as u64);
        let lost = Rig::from_syn().data(&header[..header.len() - 1]).gap(1).data(GET);
        assert_eq!(lost.found, [name, "~GET /1"]);
    }
}

#[test]
fn what_only_begins_like_such_a_header_is_something_else() {
    assert_eq!(found(b"PROXY /x HTTP/1.1\r\n\r\n"), ["PROXY /x"]);
    assert_eq!(found(b"PROXY TCP4\r\n"), ["other"]);
    assert_eq!(found(b"PROXY nonsense\r\n"), ["other"]);
    assert_eq!(found(&[b"\r\n\r\n", GET].concat()), ["GET /1"]);
    let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
    assert_eq!(found(&endless), ["proxy-v1", "other"]);
    let mut rig = Rig::from_syn().data(b"PROX");
    rig.give_up(Cause::Finished);
    assert_eq!((rig.ledger.unfinished_heads, rig.ledger.resync_bytes), (1, 4));
    assert_eq!(Rig::from_syn().data(b"\r\n\r\n").gap(1).data(GET).found, ["~GET /1"]);
}

#[test]
fn what_a_body_may_contain_shows_no_start() {
    let v1 = b"PROXY TCP4 203.0.113.9 10.9.0.2 54321 80\r\n".to_vec();
    for (header, name) in [(v1, "proxy-v1"), (proxy_v2(12), "proxy-v2")] {
        for rig in [Rig::joined(), Rig::from_syn().gap(1)] {
            let body = [&header, GET, b"GET /2 HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(rig.data(&body).found, [name, "~GET /1", "~GET /2"]);
        }
        let unknown = b"FOO /1 HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(Rig::joined().data(&[&header[..], unknown].concat()).found, [name]);
    }
}
