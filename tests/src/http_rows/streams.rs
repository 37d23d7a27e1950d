//! Several requests on a connection.

use super::row::{FIELDS, PHANTOM, Part, Row, TAIL, head, other, tail};

fn get(target: &str) -> Part {
    head(&[b"GET /", target.as_bytes(), b" HTTP/1.1\r\n", FIELDS])
}

fn post(target: &str, body: &[u8]) -> [Part; 2] {
    let fields = format!(" HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    [head(&[b"POST /", target.as_bytes(), fields.as_bytes(), FIELDS]), other(body)]
}

pub(super) fn rows() -> Vec<Row> {
    let upgrade = b"GET /upgrade HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    let connect = b"CONNECT lab:443 HTTP/1.1\r\n";
    let continues = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 52\r\n";
    let rows: Vec<(&str, Vec<Part>)> = vec![
        ("ten requests", (0..10).map(|number| get(&number.to_string())).collect()),
        ("bodies between", [post("1", PHANTOM), post("2", b""), post("3", PHANTOM)].concat()),
        ("an empty line behind a body", [post("1", PHANTOM).to_vec(), vec![other(b"\r\n"), tail()]].concat()),
        ("more bytes than the length says", [post("1", b"1").to_vec(), vec![other(b"2"), tail()]].concat()),
        ("an upgrade that is refused", vec![head(&[upgrade, FIELDS]), get("1"), tail()]),
        (
            "an odd version behind an upgrade",
            vec![head(&[upgrade, FIELDS]), head(&[b"GET /1 HTTP/1.2\r\n", FIELDS])],
        ),
        (
            "a frame behind an upgrade",
            vec![head(&[upgrade, FIELDS]), other(b"\x81\x85abcd\x09\x07\x0f\x08\x0e")],
        ),
        ("a tunnel that is refused", vec![head(&[connect, FIELDS]), get("1"), tail()]),
        (
            "TLS in a tunnel",
            vec![head(&[connect, FIELDS]), other(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")],
        ),
        ("no body after 100-continue", vec![head(&[continues, FIELDS]), get("1"), tail()]),
        (
            "the body at once in spite of 100-continue",
            vec![head(&[continues, FIELDS]), other(PHANTOM), tail()],
        ),
        ("more after HTTP/1.0", vec![head(&[b"GET /a HTTP/1.0\r\n", FIELDS]), tail()]),
        ("more after close", vec![head(&[b"GET /a HTTP/1.1\r\nConnection: close\r\n", FIELDS]), tail()]),
        ("more after a refusal", vec![head(&[b"GET /%zz HTTP/1.1\r\n", FIELDS]), tail()]),
        ("HTTP/0.9 second", vec![get("1"), head(&[b"GET /a\r\n"])]),
        ("HTTP/1.2 second", vec![get("1"), head(&[b"GET /a HTTP/1.2\r\n", FIELDS]), tail()]),
        ("a GBK target second", vec![get("1"), head(&[b"GET /\xcb\xd1 HTTP/1.1\r\n", FIELDS]), tail()]),
        ("an unknown method second", vec![get("1"), head(&[b"FOO /a HTTP/1.1\r\n", FIELDS]), tail()]),
        ("spaces second", vec![get("1"), head(&[b"GET /a b HTTP/1.1\r\n", FIELDS]), tail()]),
        (
            "a space behind the version second",
            vec![get("1"), head(&[b"GET /a HTTP/1.1 \r\n", FIELDS]), tail()],
        ),
        (
            "a method of 80 bytes second",
            vec![get("1"), head(&[&[b'A'; 80], b" /a HTTP/1.1\r\n", FIELDS]), tail()],
        ),
        ("garbage second", vec![get("1"), head(&[b"\x01\x02\x03\r\n\r\n"]), tail()]),
        ("redis second", vec![get("1"), head(&[b"*1\r\n$4\r\nPING\r\n"])]),
        ("TLS second", vec![get("1"), head(&[b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"])]),
        ("a head that is cut second", vec![get("1"), head(&[b"GET /a HTTP/1.1\r\nHost: lab\r\nX-Te"])]),
        (
            "a long head second",
            vec![get("1"), head(&[b"GET /a HTTP/1.1\r\nX-A: ", &[b'a'; 70_000], b"\r\n", FIELDS]), tail()],
        ),
        (
            "one of each",
            [
                post("1", PHANTOM).to_vec(),
                vec![get("2"), head(&[b"HEAD /3 HTTP/1.1\r\n", FIELDS])],
                post("4", PHANTOM).to_vec(),
                vec![head(&[TAIL])],
            ]
            .concat(),
        ),
    ];
    rows.into_iter().map(|(name, parts)| Row::new("stream", name.as_bytes(), parts)).collect()
}
