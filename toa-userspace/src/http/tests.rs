mod http2;
mod opening;

use toa_common::seq::Seq;

use super::{
    HeadMemory, Malformation,
    context::Context,
    head::{Cause, HttpRequest},
    parser::Parser,
};
use crate::{
    event::Event,
    ledger::HttpLedger,
    limits::Limits,
    stream::{Arrival, StreamEvent},
    tls::{ClientHello, tests::hello},
};

/// A parser and its results as text: `METHOD target`, or the reason why the parser stopped. Before a request is `!` if the
/// head is incomplete, `~` if it was found by searching, and `^` if it is malformed, not counting a missing Host; after it,
/// `?` if the body length is doubtful.
#[derive(Default)]
struct Rig {
    parser: Parser,
    ledger: HttpLedger,
    found: Vec<String>,
    preview: Vec<u8>,
    used: u64,
    ack: Seq,
}

impl Rig {
    fn from_syn() -> Self {
        let mut rig = Self::default();
        rig.accept(StreamEvent::Start { is_known: true });
        rig
    }

    fn joined() -> Self {
        let mut rig = Self::default();
        rig.accept(StreamEvent::Start { is_known: false });
        rig
    }

    fn accept(&mut self, event: StreamEvent<'_>) {
        let Self { parser, ledger, found, preview: seen, .. } = self;
        let receiver = &mut |event: &Event<'_>| match event {
            Event::Opened | Event::Gap { .. } | Event::Conflict { .. } | Event::Closed(_) => {
                panic!("{event:?}")
            }
            Event::Request(request) => found.push(describe(request)),
            Event::Proxy(version) => found.push(version.name().to_owned()),
            Event::Tls(hello) => {
                let name = hello.server_name.as_deref().unwrap_or(b"?");
                found.push(format!("tls {}", name.escape_ascii()));
            }
            Event::NotHttp { reason, preview } => {
                found.push(reason.name().to_owned());
                *seen = preview.to_vec();
            }
        };
        parser.accept(
            event,
            &mut Context { limits: &Limits::default(), ledger, heads: &mut HeadMemory::default(), receiver },
        );
        let sum = ledger.head_bytes + ledger.body_bytes + ledger.resync_bytes + ledger.opaque_bytes;
        if let StreamEvent::Data { bytes, .. } = event {
            self.used += bytes.len() as u64;
        }
        assert_eq!(sum + ledger.buffered_bytes, self.used, "{ledger:?}");
    }

    fn give_up(&mut self, cause: Cause) {
        let Self { parser, ledger, found, .. } = self;
        let receiver = &mut |event: &Event<'_>| match event {
            Event::Tls(hello) => {
                assert_eq!(**hello, ClientHello::default());
                found.push("tls ?".to_owned());
            }
            Event::Request(request) => {
                assert_eq!(request.incomplete.unwrap().cause, cause);
                found.push(describe(request));
            }
            Event::NotHttp { reason, .. } => found.push(reason.name().to_owned()),
            _ => panic!("{event:?}"),
        };
        parser.give_up(
            cause,
            &mut Context { limits: &Limits::default(), ledger, heads: &mut HeadMemory::default(), receiver },
        );
        assert_eq!(ledger.buffered_bytes, 0);
    }

    fn data(mut self, bytes: &[u8]) -> Self {
        let arrival = Arrival { time_ns: 0, ack: self.ack };
        self.accept(StreamEvent::Data { bytes, arrival });
        self
    }

    /// Lets the client have received this many more bytes of the server's answers.
    fn answered(mut self, bytes: u32) -> Self {
        self.ack = self.ack + bytes;
        self
    }

    fn gap(mut self, bytes: u64) -> Self {
        self.accept(StreamEvent::Gap { bytes });
        self
    }

    /// Bypasses what the parser does not need.
    fn bypass(mut self) -> Self {
        let bytes = self.parser.unneeded_bytes();
        assert!(bytes > 0);
        self.accept(StreamEvent::Bypassed { bytes });
        self
    }

    /// Feeds `bytes` in pieces of `step`.
    fn pieces(self, bytes: &[u8], step: usize) -> Self {
        bytes.chunks(step).fold(self, Self::data)
    }
}

fn describe(request: &HttpRequest<'_>) -> String {
    let mark = |condition, mark| if condition { mark } else { "" };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    [
        mark(request.incomplete.is_some(), "!"),
        mark(request.certainty.resynchronized, "~"),
        mark(request.malformation.is_some_and(|it| it != Malformation::Host), "^"),
        &text(request.method()),
        " ",
        &text(request.target()),
        mark(request.framing_fault().is_some(), "?"),
    ]
    .concat()
}

const GET: &[u8] = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn heads_are_found_however_the_stream_is_cut() {
    let many_fields = "x-field: with a value of some length\r\n".repeat(1000);
    let cases: &[(&[u8], &[&str])] = &[
        (GET, &["GET /1"]),
        (b"\r\n\r\nGET /1 HTTP/1.1\r\n\r\n", &["GET /1"]),
        (b"GET /1 HTTP/1.1\n\nGET /2 HTTP/1.0\r\n\r\n", &["GET /1", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
            &["POST /1"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 20\r\n\r\nGET /x HTTP/1.1\r\n\r\n \nGET /2 HTTP/1.1\r\n\r\n",
            &["POST /1"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n", &["POST /1", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nt: 1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
            &["POST /1", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 99\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
            &["POST /1?", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
            &["POST /1?", "~GET /2"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n", &["POST /1?", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n",
            &["POST /1", "GET /2"]),
        (b"GET http://api.example/1?a=b HTTP/1.1\r\n\r\n", &["GET http://api.example/1?a=b"]),
        (b"POST /1 HTTP/1.0\r\ncontent-length: 1\r\n\r\naGET /2 HTTP/1.0\r\n\r\n", &["POST /1", "GET /2"]),
        (b"POST /1 HTTP/1.1\r\ncontent-length:\r\n 4\r\n\r\nabcdGET /2 HTTP/1.1\r\n\r\n", &["^POST /1", "GET /2"]),
        (b"GET /1 HTTP/1.1\r\nno colon\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", &["^GET /1", "GET /2"]),
        (b"GET / HTTP/1.1\r\n\r\nnonsense\r\nGET /2 HTTP/1.0\r\n\r\n", &["GET /", "~GET /2"]),
        (b"GET /ws HTTP/1.1\r\nupgrade: websocket\r\n\r\n\x81\x85abcdefg", &["GET /ws", "upgrade"]),
        (b"GET /ws HTTP/1.1\r\nupgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", &["GET /ws", "GET /2"]),
        (b"CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03\x01", &["CONNECT a:443", "connect"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x01\x05\0\0\0\x01\x82\x84\x86\x41", &["^GET /", "http2"]),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &["http2"]),
        (b"*1\r\n$4\r\nPING\r\n", &["other"]),
        (b"SSH-2.0-OpenSSH\r\nGET / HTTP/1.1\r\n\r\n", &["other"]),
    ];
    for (bytes, expected) in cases {
        // A wrong body length hides or adds requests, so `expected` is only the beginning of what is found. What is
        // found must be the same for every split.
        let whole = Rig::from_syn().data(bytes).found;
        assert_eq!(
            whole.get(..expected.len()),
            Some(&expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..]),
            "{}",
            bytes.escape_ascii()
        );
        for step in 1..=bytes.len() {
            assert_eq!(
                Rig::from_syn().pieces(bytes, step).found,
                whole,
                "{step} of {}",
                bytes.escape_ascii()
            );
        }
    }
    let head = format!("GET /1 HTTP/1.1\r\n{many_fields}\r\n");
    for step in [1, 7, 1448, 4096, 65_536] {
        let rig = Rig::from_syn().pieces(head.as_bytes(), step).data(GET);
        assert_eq!(rig.found, ["GET /1", "GET /1"]);
    }
}

#[test]
fn what_follows_a_head_that_may_be_the_last_is_marked() {
    let next = "GET /2 HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2);
    let long = "y".repeat(Limits::default().head_bytes);
    let long = format!("GET /1 HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n");
    for (head, marked) in [
        ("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n", 0),
        ("GET /1 HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", 2),
        ("GET /1 HTTP/1.1\r\n\r\n", 2),
        ("GET /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 0, 0\r\n\r\n", 2),
        (&long, 2),
        ("GET /1 HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", 0),
        ("GET /1 HTTP/1.1\r\nhost: a\r\nConnection: TE, close\r\n\r\n", 2),
        ("GET /1 HTTP/1.0\r\nhost: a\r\n\r\n", 2),
        ("GET /1 HTTP/1.0\r\nhost: a\r\nconnection: Keep-Alive\r\n\r\n", 0),
        ("GET /1\r\n\r\n", 2),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 2),
    ] {
        let rig = Rig::from_syn().pieces(format!("{head}{next}").as_bytes(), 1000);
        assert_eq!(rig.found.len(), 3, "{head:.40}");
        assert_eq!(rig.ledger.possibly_unread_requests, marked, "{head:.40}");
    }
}

#[test]
fn a_large_body_is_passed_over() {
    let mut rig = Rig::from_syn().data(b"POST /1 HTTP/1.1\r\ncontent-length: 10485760\r\n\r\n");
    let piece = vec![b'\n'; 65_536];
    for _ in 0..160 {
        rig = rig.data(&piece);
    }
    assert_eq!(rig.data(GET).found, ["POST /1", "GET /1"]);
}

#[test]
fn what_is_not_needed_may_be_bypassed() {
    let rig = Rig::from_syn().data(b"POST /1 HTTP/1.1\r\ncontent-length: 10\r\n\r\nab").bypass().data(GET);
    assert_eq!(rig.found, ["POST /1", "GET /1"]);
    let chunked = b"POST /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n64\r\n";
    let rig =
        Rig::from_syn().data(chunked).bypass().data(b"\r\na\r\n").bypass().data(b"\r\n0\r\n\r\n").data(GET);
    assert_eq!(rig.found, ["POST /1", "GET /1"]);
    assert_eq!((rig.ledger.bypassed_bytes, rig.ledger.resyncs), (110, 0));
    let rig = Rig::from_syn().data(b"SSH-2.0-x\r\n").data(&vec![0; 64 << 10]).bypass().data(GET);
    assert_eq!(rig.found, ["other", "~GET /1"]);
    for bytes in [&b"GET / HTTP"[..], chunked.split_at(50).0, b"", b"GET / HTTP/1.1\r\n\r\n"] {
        assert_eq!(Rig::from_syn().data(bytes).parser.unneeded_bytes(), 0, "{}", bytes.escape_ascii());
    }
    assert_eq!(Rig::from_syn().gap(1).data(b"junk").parser.unneeded_bytes(), 0);
}

#[test]
fn a_body_is_left_out_only_after_another_answer_than_a_confirmation() {
    let head = b"POST /1 HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    for (answer, found) in [(0, &["POST /1"][..]), (25, &["POST /1"]), (180, &["POST /1", "~GET /1"])] {
        let rig = Rig::from_syn().data(head).answered(answer).data(GET);
        assert_eq!(rig.found, found, "{answer}");
    }
    // More than one request in a segment is the body, and so is one in the segment of the head.
    let rig = Rig::from_syn().data(head).answered(180).data(&[GET, GET].concat());
    assert_eq!(rig.found, ["POST /1"]);
    assert_eq!(Rig::from_syn().data(&[&head[..], GET].concat()).found, ["POST /1"]);
}

#[test]
fn a_gap_in_a_body_of_known_length_is_counted() {
    let rig = Rig::from_syn()
        .data(b"POST /1 HTTP/1.1\r\ncontent-length: 10\r\n\r\nab")
        .gap(5)
        .data(b"cde")
        .data(GET);
    assert_eq!(rig.found, ["POST /1", "GET /1"]);
    assert_eq!(rig.ledger.resyncs, 0);
    let rig = Rig::from_syn().data(b"POST /1 HTTP/1.1\r\ncontent-length: 10\r\n\r\nab").gap(8).data(GET);
    assert_eq!((rig.found.len(), rig.ledger.resyncs), (2, 0));
}

#[test]
fn a_gap_in_a_head_leaves_an_incomplete_request() {
    let rig = Rig::from_syn()
        .data(b"GET /1 HTTP/1.1\r\nhost: a\r\ncookie: b")
        .gap(100)
        .data(b"c\r\n\r\n")
        .data(GET);
    assert_eq!(rig.found, ["!GET /1", "~GET /1"]);
    assert_eq!((rig.ledger.requests, rig.ledger.incomplete_requests), (2, 1));
    let rig = Rig::from_syn().data(b"GET /1 HT").gap(100).data(b"c\r\n\r\n").data(GET);
    assert_eq!(rig.found, ["!GET /1", "~GET /1"]);
}

#[test]
fn after_a_gap_the_next_request_is_found() {
    for step in 1..60 {
        // After a gap, a request is found at the start of a line or, without lines, at the start of a segment.
        let rig = Rig::from_syn().gap(1).pieces(b"DELETE\nGETTING /x\n", step).pieces(GET, step);
        assert_eq!(rig.found, ["~GET /1"], "{step}");
    }
    let rig = Rig::from_syn().gap(1).data(b"junk that ends like DEL").data(b"DELETE /2 HTTP/1.0\r\n\r\n");
    assert_eq!(rig.found, ["~DELETE /2"]);
    let rig = Rig::from_syn().gap(1).data(b"GE").data(GET);
    assert_eq!(rig.found, ["~GET /1"]);
}

#[test]
fn a_stream_joined_in_its_middle_is_searched() {
    let rig = Rig::joined().data(b"\0").data(GET);
    assert_eq!(rig.found, ["~GET /1"]);
    let rig = Rig::joined().data(b"x: y\r\n\r\n").data(GET);
    assert_eq!(rig.found, ["~GET /1"]);
    assert_eq!(Rig::joined().data(GET).data(GET).found, ["~GET /1", "~GET /1"]);
}

#[test]
fn a_stream_whose_beginning_is_lost_may_still_say_what_it_is() {
    assert_eq!(Rig::from_syn().gap(5).data(&hello()).found, ["tls api.example"]);
    assert_eq!(Rig::from_syn().gap(5).data(b"T / HTTP/1.1\r\n\r\n").data(GET).found, ["~GET /1"]);
}

#[test]
fn a_head_beyond_the_limit_is_shown_up_to_it() {
    let mut head = b"GET /long HTTP/1.1\r\nx: ".to_vec();
    head.resize(70_000, b'a');
    for step in [1, 1000, 100_000] {
        let rig = Rig::from_syn().pieces(&head, step).data(b"\r\n\r\n").data(GET);
        assert_eq!(rig.found, ["!GET /long", "GET /1"]);
        assert_eq!(rig.ledger.oversized_heads, 1);
    }
}

#[test]
fn a_head_with_too_many_fields_is_shown_without_the_others() {
    let head = |fields: usize| format!("GET /many HTTP/1.1\r\n{}\r\n", "a:\n".repeat(fields));
    let rig = Rig::from_syn().data(head(2000).as_bytes()).data(head(2001).as_bytes()).data(GET);
    assert_eq!(rig.found, ["GET /many", "!GET /many", "GET /1"]);
    assert_eq!(rig.ledger.oversized_heads, 1);
}

#[test]
fn what_is_not_http_is_shown_once_and_counted() {
    let rig = Rig::from_syn().data(&[b'\xfe'; 100]).data(GET);
    // "Not HTTP" is never believed for ever.
    assert_eq!(rig.found, ["other", "~GET /1"]);
    assert_eq!(rig.preview, [0xfe; 64]);
    assert_eq!((rig.ledger.not_http, rig.ledger.opaque_bytes), (1, 100));
}

#[test]
fn a_head_without_end_is_shown_as_far_as_it_goes() {
    let mut rig = Rig::from_syn().data(b"GET /1 HTTP/1.1\r\n");
    rig.give_up(Cause::End);
    assert_eq!(rig.found, ["!GET /1"]);
    assert_eq!((rig.ledger.incomplete_requests, rig.ledger.head_bytes), (1, 17));
    assert_eq!(rig.data(b"host: a\r\n\r\n").data(GET).found, ["!GET /1", "~GET /1"]);
}

#[test]
fn requests_are_numbered_and_dated_by_the_segment_that_completes_them() {
    let mut parser = Parser::default();
    let ledger = &mut HttpLedger::default();
    let start = StreamEvent::Start { is_known: true };
    parser.accept(
        start,
        &mut Context {
            limits: &Limits::default(),
            ledger,
            heads: &mut HeadMemory::default(),
            receiver: &mut |_: &Event<'_>| (),
        },
    );
    let mut found = Vec::new();
    let pieces = [
        (&b"GET /1 HTTP/1.1\r\n"[..], 5),
        (b"\r\nGET /2 HTTP/1.1\r\n\r\nGET", 6),
        (b" /3 HTTP/1.1\r\n\r\n", 7),
    ];
    for (bytes, time_ns) in pieces {
        let arrival = Arrival { time_ns, ack: Seq(0) };
        let event = StreamEvent::Data { bytes, arrival };
        let receiver = &mut |event: &Event<'_>| {
            if let Event::Request(request) = event {
                found.push((request.number, request.time_ns));
            }
        };
        parser.accept(
            event,
            &mut Context { limits: &Limits::default(), ledger, heads: &mut HeadMemory::default(), receiver },
        );
    }
    assert_eq!(found, [(1, 6), (2, 6), (3, 7)]);
}
