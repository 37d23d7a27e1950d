//! HTTP/2, from the bytes of a connection to its requests.

mod attacks;
mod encoder;
mod errors;
mod joined;
mod traffic;

use super::*;
use crate::http::http2::PREFACE;

/// A request as it is found, or why nothing more is read.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Found {
    /// The raw head, or the reason.
    head: String,
    stream_id: Option<u32>,
    unknown_fields: u32,
    is_resynchronized: bool,
    incomplete: Option<Cause>,
    malformation: Option<Malformation>,
}

impl Found {
    fn of(request: &HttpRequest<'_>) -> Self {
        Self {
            head: request.raw().escape_ascii().to_string().replace(r"\r\n", "\n"),
            stream_id: request.stream.map(|stream| stream.id),
            unknown_fields: request.stream.map_or(0, |stream| stream.unknown_fields),
            is_resynchronized: request.certainty.resynchronized,
            incomplete: request.incomplete.map(|it| it.cause),
            malformation: request.malformation,
        }
    }

    fn reason(name: &str) -> Self {
        Self {
            head: name.to_owned(),
            stream_id: None,
            unknown_fields: 0,
            is_resynchronized: false,
            incomplete: None,
            malformation: None,
        }
    }

    /// A request that nothing is wrong with.
    fn whole(stream_id: u32, head: &str) -> Self {
        Self { stream_id: Some(stream_id), ..Self::reason(head) }
    }
}

/// A connection, and what was found on it.
#[derive(Default)]
struct Wire {
    parser: Parser,
    ledger: HttpLedger,
    heads: HeadMemory,
    found: Vec<Found>,
    limits: Limits,
    most_memory: usize,
}

impl Wire {
    fn new(is_known: bool) -> Self {
        let mut wire = Self::default();
        wire.accept(StreamEvent::Start { is_known });
        wire
    }

    fn step(&mut self, step: impl FnOnce(&mut Parser, &mut Context<'_>)) {
        let Self { parser, ledger, heads, found, limits, .. } = self;
        let receiver = &mut |event: &Event<'_>| match event {
            Event::Request(request) => found.push(Found::of(request)),
            Event::NotHttp { reason, .. } => found.push(Found::reason(reason.name())),
            other => panic!("{other:?}"),
        };
        step(parser, &mut Context { limits, ledger, heads, receiver });
        self.most_memory = self.most_memory.max(self.parser.buffered_bytes());
    }

    fn accept(&mut self, event: StreamEvent<'_>) {
        self.step(|parser, cx| parser.accept(event, cx));
    }

    fn data(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.accept(StreamEvent::Data { bytes, arrival: Arrival { time_ns: 0, ack: Seq(0) } });
        }
    }

    fn pieces(mut self, bytes: &[u8], step: usize) -> Self {
        bytes.chunks(step).for_each(|piece| self.data(piece));
        self
    }

    fn finish(mut self) -> Self {
        self.step(|parser, cx| parser.give_up(Cause::Finished, cx));
        assert_eq!(self.ledger.buffered_bytes, 0);
        self
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream_id.to_be_bytes(), payload].concat()
}

/// Returns literal fields that do not become entries, without Huffman coding.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127);
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// Returns the header block of a request with further fields.
fn block(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", target)];
    literals(&[&pseudo[..], fields].concat())
}

fn request(stream_id: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream_id, &block(target, &[]))
}

fn head(target: &str) -> String {
    format!("GET {target} HTTP/2\nhost: api.example\n\n")
}

/// Returns what is found in frames after the preface, for any split into segments.
fn found(frames: &[Vec<u8>]) -> Vec<Found> {
    let bytes = [PREFACE, &frames.concat()].concat();
    let whole = Wire::new(true).pieces(&bytes, bytes.len());
    for step in (1..80).chain([1000, 1448]) {
        let cut = Wire::new(true).pieces(&bytes, step);
        assert_eq!((cut.found, cut.ledger), (whole.found.clone(), whole.ledger), "{step}");
    }
    whole.found
}

#[test]
fn requests_are_found_in_frames() {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &literals(&[("x-checksum", "7")]));
    let post = frame(HEADERS, END_HEADERS, 1, &block("/1", &[("x-team", "a"), ("x-team", "b")]));
    let whole = block("/3", &[("te", "trailers")]);
    let (first, second) = whole.split_at(20);
    let padded = [&[3][..], &[0x80, 0, 0, 0, 16], first, &[0; 3]].concat();
    assert_eq!(
        found(&[
            settings,
            post,
            frame(DATA, 0, 1, &[b'x'; 3000]),
            request(5, "/5"),
            frame(DATA, PADDED, 1, b"\x02x\0\0"),
            frame(0x2a, 0xff, 9, b"to be ignored"),
            trailers,
            frame(HEADERS, PADDED | PRIORITY | END_STREAM, 7, &padded),
            frame(CONTINUATION, 0, 7, &second[..1]),
            frame(CONTINUATION, END_HEADERS, 7, &second[1..]),
        ]),
        [
            Found::whole(1, "GET /1 HTTP/2\nhost: api.example\nx-team: a\nx-team: b\n\n"),
            Found::whole(5, &head("/5")),
            Found::whole(7, "GET /3 HTTP/2\nhost: api.example\nte: trailers\n\n"),
        ]
    );
}

#[test]
fn pseudo_fields_become_the_parts_of_a_request() {
    let of = |fields: &[(&str, &str)]| {
        let found = found(&[frame(HEADERS, END_HEADERS, 1, &literals(fields))]);
        (found[0].head.lines().next().unwrap().to_owned(), found[0].malformation, found[0].head.clone())
    };
    let (line, malformation, _) = of(&[(":method", "CONNECT"), (":authority", "a:443")]);
    assert_eq!((line.as_str(), malformation), ("CONNECT a:443 HTTP/2", None));
    let websocket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    let (_, malformation, head) = of(&websocket);
    assert_eq!(
        (head.as_str(), malformation),
        ("CONNECT /chat HTTP/2\nhost: a\n:protocol: websocket\n\n", None)
    );
    let grpc = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/helloworld.Greeter/SayHello"),
        (":authority", "a:50051"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("trace-bin", "AAEC/w"),
    ];
    let (line, malformation, head) = of(&grpc);
    assert_eq!((line.as_str(), malformation), ("POST /helloworld.Greeter/SayHello HTTP/2", None));
    assert!(
        head.ends_with("host: a:50051\nte: trailers\ncontent-type: application/grpc\ntrace-bin: AAEC/w\n\n")
    );
    let binary = [&grpc[..6], &[("trace-bin", "\0\0\r\n\x7f"), ("x-bin", "\0")]].concat();
    let (_, malformation, head) = of(&binary);
    assert!(malformation.is_none() && head.ends_with("\ntrace-bin: AA0Kfw\nx-bin: \n\n"), "{head}");
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    for (fields, expected) in [
        (&[][..], None),
        (&[("host", "a")], None),
        (&[("host", "b")], Some(Malformation::Host)),
        (&[("X-Team", "a")], Some(Malformation::Field)),
        (&[("connection", "close")], Some(Malformation::Field)),
        (&[("te", "gzip")], Some(Malformation::Field)),
        (&[("", "a")], Some(Malformation::Field)),
        (&[("x", "\0a")], Some(Malformation::Control)),
        (&[("x", "a\r\nb: c")], Some(Malformation::Control)),
        (&[("x", " a")], Some(Malformation::Control)),
        (&[(":path", "/2")], Some(Malformation::Field)),
        (&[(":status", "200")], Some(Malformation::Field)),
    ] {
        assert_eq!(of(&[&get[..], fields].concat()).1, expected, "{fields:?}");
    }
    assert_eq!(of(&get[..3]).1, Some(Malformation::Host));
    assert_eq!(of(&[&get[..3], &[("host", "a")]].concat()).1, None);
    assert_eq!(of(&[get[0], get[1], get[3]]).1, Some(Malformation::Target));
    assert_eq!(of(&get[1..]).1, Some(Malformation::Method));
    for method in [&[][..], &[(":method", "")]] {
        let (line, malformation, _) = of(&[method, &get[1..]].concat());
        assert_eq!((line.as_str(), malformation), ("(none) / HTTP/2", Some(Malformation::Method)));
    }
    let (line, malformation, _) = of(&[get[0], get[1], (":path", ""), get[3]]);
    assert_eq!((line.as_str(), malformation), ("GET (none) HTTP/2", Some(Malformation::Target)));
    assert_eq!(of(&[get[0], get[2], get[3]]).1, Some(Malformation::Scheme));
    assert_eq!(of(&[("x", "y"), get[0], get[1], get[2], get[3]]).1, Some(Malformation::Field));
}

#[test]
fn a_new_stream_without_pseudo_fields_is_a_malformed_request() {
    let wire = Wire::new(true).pieces(
        &[
            PREFACE,
            &request(1, "/1"),
            &frame(HEADERS, END_STREAM | END_HEADERS, 3, &literals(&[("x-team", "a")])),
            &frame(HEADERS, END_HEADERS, 5, b""),
            &frame(HEADERS, END_STREAM | END_HEADERS, 1, &literals(&[("x-team", "a")])),
        ]
        .concat(),
        1000,
    );
    let malformed = |stream_id, head: &str| Found {
        malformation: Some(Malformation::Method),
        ..Found::whole(stream_id, head)
    };
    let expected = [
        Found::whole(1, &head("/1")),
        malformed(3, "(none) (none) HTTP/2\nx-team: a\n\n"),
        malformed(5, "(none) (none) HTTP/2\n\n"),
    ];
    assert_eq!(wire.found, expected);
    assert_eq!(wire.ledger.malformed_requests, 2);
}

#[test]
fn an_upgrade_continues_with_the_preface() {
    let upgrade =
        b"GET /1 HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n";
    let rest = [PREFACE, &frame(SETTINGS, 0, 0, b""), &request(3, "/3")].concat();
    for step in [1, 2, 7, 1000] {
        let wire = Wire::new(true).pieces(&[&upgrade[..], &rest].concat(), step);
        assert_eq!(wire.found.len(), 2);
        assert_eq!((wire.found[0].stream_id, &wire.found[1]), (None, &Found::whole(3, &head("/3"))));
    }
    // In a tunnel, it is not for this server.
    let tunnel = b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n";
    let wire = Wire::new(true).pieces(&[&tunnel[..], &rest].concat(), 1000);
    assert_eq!(wire.found[1..], [Found::reason("connect")]);
}

#[test]
fn a_connection_without_a_request_is_told_at_its_end() {
    let wire = Wire::new(true).pieces(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat(), 10).finish();
    assert_eq!((wire.found, wire.ledger.not_http), (vec![Found::reason("http2")], 1));
}

#[test]
fn what_data_contains_is_not_needed() {
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &request(1, "/1")].concat());
    assert_eq!(wire.parser.unneeded_bytes(), 0);
    let data = frame(DATA, 0, 1, &vec![b'\n'; 1 << 20]);
    wire.data(&data[..1000]);
    assert_eq!(wire.parser.unneeded_bytes(), (1 << 20) - 991);
    wire.accept(StreamEvent::Bypassed { bytes: 1 << 19 });
    wire.accept(StreamEvent::Gap { bytes: (1 << 19) - 991 });
    wire.data(&request(3, "/3"));
    assert_eq!(wire.found, [Found::whole(1, &head("/1")), Found::whole(3, &head("/3"))]);
    assert_eq!((wire.ledger.body_bytes, wire.ledger.bypassed_bytes, wire.ledger.resyncs), (991, 1 << 19, 0));
}

#[test]
fn a_header_block_without_end_is_shown_as_far_as_it_goes() {
    let whole = block("/1", &[("x-team", "a")]);
    let cut = frame(HEADERS, END_HEADERS, 1, &whole);
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &cut[..cut.len() - 3]].concat());
    let wire = wire.finish();
    let expected = Found { incomplete: Some(Cause::Finished), ..Found::whole(1, &head("/1")) };
    assert_eq!(wire.found, [expected]);
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &cut[..12]].concat());
    assert_eq!(wire.finish().ledger.unfinished_heads, 1);
}
