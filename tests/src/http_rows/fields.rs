//! Header fields, and the line ends around them.

use super::row::{FIELDS, Row, TAIL, head, other, tail};

const LINE: &[u8] = b"GET /a HTTP/1.1\r\n";

/// Each is a line or several between the request line and the usual fields.
const EXTRA: &[&[u8]] = &[
    // Values.
    b"X-A: \xe4\xbd\xa0\xe5\xa5\xbd\r\n",
    b"X-A: \xcb\xd1\xcb\xf7\r\n",
    b"X-A: caf\xe9\r\n",
    b"X-A: a\\x41\\\r\n",
    b"X-A:\r\n",
    b"X-A: \r\n",
    b"X-A:a\r\n",
    b"X-A: \t  a  \t\r\n",
    b"X-A: a\tb  c\r\n",
    b"X-A:: a:b\r\n",
    b"X-A: a\x01b\r\n",
    b"X-A: a\x1b[31mb\r\n",
    b"X-A: a\x7fb\r\n",
    b"X-A: a\0b\r\n",
    b"X-A: a\rX-Team: victim\r\n",
    b"X-A: a\x0bb\x0cc\r\n",
    // Names.
    b"X_A: a\r\n",
    b"X.A: a\r\n",
    b"!#$%&'*+-.^_`|~9z: a\r\n",
    b"X A: a\r\n",
    b"X-A : a\r\n",
    b"X-A\t: a\r\n",
    b": a\r\n",
    b":\r\n",
    b"no colon\r\n",
    b"no-colon\r\n",
    b"\"X-A\": a\r\n",
    b"X(A): a\r\n",
    b"X-\xe4\xbd\xa0: a\r\n",
    b"X-\xcb\xd1: a\r\n",
    b"X\0A: a\r\n",
    b"X\x01A: a\r\n",
    b"X-A: 1\r\nx-a: 2\r\nX-a: 3\r\n",
    b"X-Team: other\r\n",
    // Folds (RFC 9112 section 5.2).
    b"X-A: a\r\n b\r\n",
    b"X-A: a\r\n\tb\r\n  c\r\n",
    b"X-A:\r\n a\r\n",
    b"X-A: a\n b\r\n",
    b"X-A: a\r\n X-Team: victim\r\n",
    b" X-A: a\r\n",
    // Fields with a meaning.
    b"Host: other\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    b"Upgrade: \r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: 200-ok\r\n",
    b"TE: trailers, deflate;q=0.5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length:\r\n",
    b"Content_Length: 10\r\n",
    b"Range: bytes=0-1\r\n",
    b"If-None-Match: *\r\n",
    b"X-Forwarded-For: 192.0.2.1\r\n",
    b"Via: 1.1 a, 1.0 b\r\n",
];

/// Each is all that follows the request line.
const ALL: &[&[u8]] = &[
    b"\r\n",
    b"X-Team: payments\r\n\r\n",
    b"Host:\r\n\r\n",
    b"Host: lab:80\r\n\r\n",
    b"Host: [::1]:80\r\n\r\n",
    b"Host: a b\r\n\r\n",
    b"Host: a/b\r\n\r\n",
    b"Host: me@lab\r\n\r\n",
    b"Host: l\xc3\xa4b\r\n\r\n",
    b"HOST: lab\r\n\r\n",
    b"Host : lab\r\n\r\n",
    b"Host: lab\r\nHost: lab\r\n\r\n",
    b"Host: lab\r\nHost: other\r\n\r\n",
    b"X-Team: payments\r\nHost: lab\r\n\r\n",
];

/// Each is a whole head.
const HEADS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\nHost: lab\nX-Team: payments\n\n",
    b"GET /a HTTP/1.1\nHost: lab\r\nX-Team: payments\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: lab\nX-Team: payments\r\n\n",
    b"GET /a HTTP/1.1\r\nHost: lab\r\r\nX-Team: payments\r\n\r\n",
    b"GET /a HTTP/1.1\r\r\nHost: lab\r\n\r\n",
    b"GET /a HTTP/1.1\rHost: lab\r\r",
    b"GET /a HTTP/1.1\n\rHost: lab\n\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: lab\r\n \r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"GET /a HTTP/1.0\n\n",
    b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: lab\r\nX-Team: cut",
    b"GET /a HTTP/1.1\r\nHost: lab\r\n",
    b"GET /a HTTP/1.1\r\nHo",
    b"GET /a HTTP/1.1\r\n",
    b"GET /a HTT",
    b"GET /a",
    b"G",
];

/// Each precedes a head.
const BEFORE: &[&[u8]] =
    &[b"\r\n", b"\n", b"\r\n\r\n\n\n\r\n", b"\r", b" \r\n", b"\t", b"\0", b"\xef\xbb\xbf"];

fn many(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("X-{number}: {number}\r\n").into_bytes()).collect()
}

fn long(name: usize, value: usize) -> Vec<u8> {
    [&b"X-".repeat(name)[..], b": ", &b"v".repeat(value), b"\r\n"].concat()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for extra in EXTRA {
        rows.push(Row::new("field", extra, [head(&[LINE, extra, FIELDS]), tail()]));
    }
    for all in ALL {
        rows.push(Row::new("fields", all, [head(&[LINE, all]), tail()]));
    }
    for whole in HEADS {
        let is_cut = !whole.ends_with(b"\n\n") && !whole.ends_with(b"\r\n\r\n") && !whole.ends_with(b"\r\r");
        rows.push(Row::new("head", whole, [head(&[whole])].into_iter().chain((!is_cut).then(tail))));
    }
    for before in BEFORE {
        rows.push(Row::new("before", before, [other(before), head(&[LINE, FIELDS]), tail()]));
        // Behind a request as well as at the start of a connection.
        let parts = [tail(), other(before), head(&[LINE, FIELDS]), head(&[TAIL])];
        rows.push(Row::new("between", before, parts));
    }
    for (name, extra) in [
        ("500 fields", many(500)),
        ("2,500 fields", many(2500)),
        ("a name of 6,000 bytes", long(3000, 1)),
        ("a value of 60,000 bytes", long(1, 60_000)),
        ("a value of 70,000 bytes", long(1, 70_000)),
        ("three values of 60,000 bytes", long(1, 60_000).repeat(3)),
        ("a head of 300,000 bytes in one field", long(1, 300_000)),
    ] {
        rows.push(Row::new("size", name.as_bytes(), [head(&[LINE, &extra, FIELDS]), tail()]));
        // Where the fields that tell a client apart come first.
        let fields = FIELDS.strip_suffix(b"\r\n").unwrap_or(FIELDS);
        let name = format!("{name}, last");
        rows.push(Row::new("size", name.as_bytes(), [head(&[LINE, fields, &extra, b"\r\n"]), tail()]));
    }
    rows
}
