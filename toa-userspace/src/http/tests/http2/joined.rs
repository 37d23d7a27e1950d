//! Connections that were joined in their middle, or lost bytes.

use proptest::prelude::*;

use super::{
    encoder::{Encoder, Random, Sent},
    *,
};

/// A connection: where each of its frames begins, and its requests.
#[derive(Debug, Default)]
struct Connection {
    bytes: Vec<u8>,
    /// Where frames begin outside header blocks, and how many requests began before.
    frames: Vec<(usize, usize)>,
    /// The streams and fields of the requests.
    requests: Vec<(u32, Vec<Sent>)>,
}

impl Connection {
    /// Makes up one with so many requests.
    fn new(seed: u64, requests: usize) -> Self {
        let mut random = Random::new(seed);
        let mut encoder = Encoder::new();
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
        let mut this = Self { bytes, ..Self::default() };
        for number in 0..requests {
            let stream_id = 2 * u32::try_from(number).unwrap() + 1;
            let mut fields = vec![
                (":method", ["GET", "POST"][random.below(2)].to_owned()),
                (":scheme", "http".to_owned()),
                (":authority", format!("host-{}", random.below(3))),
                (":path", format!("/{}", random.below(4))),
            ];
            for _ in 0..random.below(6) {
                let name = ["x-team", "x-id", "cookie", "user-agent", "trace-bin"][random.below(5)];
                let most = if random.once_in(10) { 2000 } else { 30 };
                let value = "v".repeat(random.below(most));
                fields.push((name, format!("{}-{value}", random.below(3))));
            }
            let mut block = Vec::new();
            let sent = encoder.block(&fields, &mut random, &mut block);
            this.requests.push((stream_id, sent));
            this.headers(stream_id, &block, &mut random);
            while random.once_in(2) {
                this.other(stream_id, &mut random);
            }
        }
        this
    }

    fn frame(&mut self, kind: u8, flags: u8, stream_id: u32, payload: &[u8]) {
        if kind != CONTINUATION {
            let before = self.requests.len() - usize::from(kind == HEADERS);
            self.frames.push((self.bytes.len(), before));
        }
        self.bytes.extend(frame(kind, flags, stream_id, payload));
    }

    fn headers(&mut self, stream_id: u32, block: &[u8], random: &mut Random) {
        let (first, mut rest) = block.split_at(1 + random.below(block.len()));
        let ends = |rest: &[u8]| if rest.is_empty() { END_HEADERS } else { 0 };
        if random.once_in(3) {
            let payload = [&[2][..], &[0, 0, 0, 0, 9], first, &[0; 2]].concat();
            self.frame(HEADERS, PADDED | PRIORITY | ends(rest), stream_id, &payload);
        } else {
            self.frame(HEADERS, ends(rest), stream_id, first);
        }
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(1 + random.below(rest.len()));
            rest = behind;
            self.frame(CONTINUATION, ends(rest), stream_id, part);
        }
    }

    fn other(&mut self, stream_id: u32, random: &mut Random) {
        match random.below(4) {
            0 => self.frame(8, 0, 0, &[0, 0, 16, 0]),
            1 => self.frame(6, 0, 0, b"8 bytes."),
            2 => self.frame(RST_STREAM, 0, stream_id, &[0, 0, 0, 8]),
            _ => self.frame(DATA, 0, stream_id, &vec![b'x'; random.below(3000)]),
        }
    }

    /// Returns what is to be found from a request on, if its block is the first that was seen.
    fn expected(&self, first: usize) -> Vec<Found> {
        self.requests
            .iter()
            .skip(first)
            .map(|(stream_id, fields)| expected(*stream_id, fields, first))
            .collect()
    }
}

/// Returns a request as who joined before the block `first` knows it.
fn expected(stream_id: u32, fields: &[Sent], first: usize) -> Found {
    let (mut method, mut target) = ("(unknown)", "(unknown)");
    let (mut host, mut lines, mut unknown_fields) = (String::new(), String::new(), 0);
    for Sent { name, value, name_since, value_since } in fields {
        match name.as_str() {
            _ if *value_since < first => {
                unknown_fields += 1;
                lines.push_str("(unknown): \n");
            }
            _ if *name_since < first => {
                unknown_fields += 1;
                lines.extend(["(unknown): ", value.as_str(), "\n"]);
            }
            ":method" => method = value,
            ":path" => target = value,
            ":authority" => host = format!("host: {value}\n"),
            ":scheme" => {}
            name => lines.extend([name, ": ", value.as_str(), "\n"]),
        }
    }
    let head = format!("{method} {target} HTTP/2\n{host}{lines}\n");
    Found { unknown_fields, ..Found::whole(stream_id, &head) }
}

fn without_doubt(found: &[Found]) -> Vec<Found> {
    found.iter().cloned().map(|it| Found { is_resynchronized: false, ..it }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_requests(seed: u64, step in 1_usize..2000) {
        let connection = Connection::new(seed, 12);
        let wire = Wire::new(true).pieces(&connection.bytes, step);
        prop_assert_eq!(wire.found, connection.expected(0));
        let HttpLedger { resyncs, not_http, possibly_unread_requests, .. } = wire.ledger;
        prop_assert_eq!((resyncs, not_http, possibly_unread_requests), (0, 0, 0));
    }

    #[test]
    fn what_is_first_sent_after_joining_is_exact(seed: u64, step in 1_usize..2000) {
        let connection = Connection::new(seed, 12);
        for (start, before) in &connection.frames {
            let rest = &connection.bytes[*start..];
            // The first segment is where frames are looked for.
            let first = rest.len().min(9.max(step));
            let mut wire = Wire::new(false);
            wire.data(&rest[..first]);
            let wire = wire.pieces(&rest[first..], step);
            let expected = connection.expected(*before);
            // Frames that are found too late are left out; and a request needs to be certain.
            let found = without_doubt(&wire.found);
            prop_assert!(wire.found.iter().all(|it| it.is_resynchronized));
            prop_assert_eq!(wire.ledger.possibly_unread_requests, 0);
            if let Some(first) = found.first() {
                let skipped = expected.iter().position(|it| it.stream_id == first.stream_id).unwrap();
                // The blocks of those before it were not seen.
                prop_assert_eq!(found, connection.expected(before + skipped));
            } else {
                prop_assert!(expected.len() < 8 || step < 400, "{} of {}", expected.len(), step);
            }
        }
    }

    #[test]
    fn a_gap_leaves_nothing_wrong(seed: u64, step in 1_usize..2000, at in 0_usize..20_000, len in 1_usize..3000) {
        let connection = Connection::new(seed, 12);
        let at = PREFACE.len() + at % (connection.bytes.len() - PREFACE.len());
        let end = (at + len).min(connection.bytes.len());
        let mut wire = Wire::new(true).pieces(&connection.bytes[..at], step);
        wire.accept(StreamEvent::Gap { bytes: (end - at) as u64 });
        let wire = wire.pieces(&connection.bytes[end..], step).finish();
        prop_assert_eq!(wire.ledger.possibly_unread_requests, 0);
        let sent = |stream_id| connection.requests.iter().find(|(id, _)| Some(*id) == stream_id);
        for found in wire.found.iter().filter(|it| it.incomplete.is_none() && it.stream_id.is_some()) {
            // Whatever is not unknown is as it was sent.
            let (id, fields) = sent(found.stream_id).unwrap();
            let whole = expected(*id, fields, 0).head;
            for line in found.head.lines().skip(1).filter(|line| !line.starts_with("(unknown)")) {
                prop_assert!(whole.contains(&format!("\n{line}\n")), "{line} of {whole}");
            }
            let words = |head: &str| head.lines().next().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>();
            for (word, sent) in words(&found.head).iter().zip(words(&whole)) {
                prop_assert!(*word == sent || word == "(unknown)", "{word} of {whole}");
            }
        }
    }
}

#[test]
fn a_request_that_fills_its_segments_is_found_at_once() {
    let found =
        |stream_id, target: &str| Found { is_resynchronized: true, ..Found::whole(stream_id, &head(target)) };
    let bytes = request(7, "/7");
    for first in [bytes.len(), 30, 9] {
        let mut wire = Wire::new(false);
        wire.data(&bytes[..first]);
        wire.data(&bytes[first..]);
        assert_eq!(wire.found, [found(7, "/7")], "{first}");
        wire.data(&request(9, "/9"));
        assert_eq!(wire.found, [found(7, "/7"), found(9, "/9")], "{first}");
    }
    // Before it, there may be others, and after a loss it is the same.
    let mut wire = Wire::new(false);
    wire.data(&frame(8, 0, 0, &[0, 0, 16, 0]));
    assert_eq!(wire.found, []);
    wire.data(&bytes);
    assert_eq!(wire.found, [found(7, "/7")]);
    let mut wire = Wire::new(true);
    wire.data(PREFACE);
    wire.accept(StreamEvent::Gap { bytes: 5 });
    wire.data(&bytes);
    assert_eq!(wire.found, [found(7, "/7")]);
}

#[test]
fn a_request_is_found_at_once_if_all_but_the_stream_of_the_next_frame_is_known() {
    let found =
        |stream_id, target: &str| Found { is_resynchronized: true, ..Found::whole(stream_id, &head(target)) };
    for next in
        [frame(DATA, END_STREAM, 7, b"x"), frame(8, 0, 0, &[0, 0, 16, 0]), frame(6, 0, 0, b"8 bytes.")]
    {
        for len in 1..=9 {
            let mut wire = Wire::new(false);
            wire.data(&[&request(7, "/7"), &next[..len]].concat());
            assert_eq!(wire.found.len(), usize::from(len >= 5), "{len} of {}", next.escape_ascii());
            wire.data(&[&next[len..], &request(9, "/9")].concat());
            assert_eq!(wire.found, [found(7, "/7"), found(9, "/9")], "{len} of {}", next.escape_ascii());
        }
    }
    // Whatever could also be something else waits, and is nothing in the end.
    for next in [
        &[0; 8][..],
        b"\0\0\0\x01\x04",
        b"\0\0\0\x04\0\0\0\0",
        b"\0\0\x05\x09\x04",
        b"\0\0\x05\x01\x02",
        b"\0\0\x05\x05\x04",
        b"\0\x41\0\0\0",
        b"\0\0\x05\0\0\x80",
        b"\0\0\x08\x06\0\0\0\x01",
        b"GET /",
    ] {
        let mut wire = Wire::new(false);
        wire.data(&[&request(7, "/7"), next].concat());
        let wire = wire.finish();
        assert!(wire.found.iter().all(|it| it.stream_id.is_none()), "{}", next.escape_ascii());
    }
}

#[test]
fn a_lone_frame_proves_nothing() {
    let post = frame(HEADERS, END_HEADERS, 7, &block("/7", &[]));
    let cut = frame(HEADERS, 0, 7, &block("/7", &[]));
    for first in [
        [&post[..], b"\0\0\x05"].concat(),
        cut,
        frame(HEADERS, END_HEADERS, 7, b"\x82"),
        frame(HEADERS, END_HEADERS, 7, b"\xbe\xbf"),
        frame(DATA, 0, 7, &post),
    ] {
        let mut wire = Wire::new(false);
        wire.data(&first);
        let wire = wire.finish();
        assert!(wire.found.iter().all(|it| it.stream_id.is_none()), "{}", first.escape_ascii());
        assert_eq!(wire.ledger.resyncs, 1, "{}", first.escape_ascii());
    }
}

#[test]
fn requests_whose_method_is_unknown_are_found_if_many_frames_follow_each_other() {
    // As of a client that sends nothing but PUT. The entries were sent before.
    let put = |stream_id| frame(HEADERS, END_HEADERS, stream_id, &[0xbe, 0x86, 0x84, 0xbf]);
    let mut wire = Wire::new(false);
    for stream_id in [7, 9] {
        wire.data(&[put(stream_id), frame(DATA, END_STREAM, stream_id, b"x")].concat());
    }
    let found: Vec<_> = wire.found.iter().map(|it| (it.stream_id, it.unknown_fields)).collect();
    assert_eq!(found, [(Some(7), 2), (Some(9), 2)]);
    assert_eq!(wire.found[0].head, "(unknown) / HTTP/2\n(unknown): \n(unknown): \n\n");
}

#[test]
fn a_block_of_a_stream_that_may_have_begun_before_is_no_request() {
    let trailers =
        |stream_id| frame(HEADERS, END_STREAM | END_HEADERS, stream_id, &literals(&[("x-checksum", "7")]));
    let streams = |wire: &Wire| wire.found.iter().filter_map(|it| it.stream_id).collect::<Vec<_>>();
    let mut wire = Wire::new(false);
    wire.data(&[trailers(3), trailers(5), request(7, "/7"), trailers(5)].concat());
    assert_eq!(streams(&wire), [7]);
    // From then on, every higher one is new, until bytes are missing.
    let unknown = frame(HEADERS, END_STREAM | END_HEADERS, 9, b"\xbe\xbf");
    wire.data(&[unknown, trailers(11)].concat());
    assert_eq!(streams(&wire), [7, 9, 11]);
    assert_eq!(wire.found[1].head, "(unknown) (unknown) HTTP/2\n(unknown): \n(unknown): \n\n");
    wire.accept(StreamEvent::Gap { bytes: 5 });
    wire.data(&[trailers(13), request(15, "/15")].concat());
    assert_eq!(streams(&wire), [7, 9, 11, 15]);
}

#[test]
fn the_first_data_of_an_old_connection_may_be_in_its_middle() {
    // Whatever named the client on it.
    let mut wire = Wire::new(true);
    wire.data(&[request(7, "/7"), request(9, "/9")].concat());
    let found =
        |stream_id, target: &str| Found { is_resynchronized: true, ..Found::whole(stream_id, &head(target)) };
    assert_eq!(wire.found, [found(7, "/7"), found(9, "/9")]);
    // After what is something else, or the rest of a frame.
    for first in [frame(HEADERS, END_HEADERS, 1, b"\x80"), b"the rest of it".to_vec()] {
        let mut wire = Wire::new(true);
        wire.data(&first);
        wire.data(&[request(7, "/7"), request(9, "/9")].concat());
        assert_eq!(wire.found, [Found::reason("other"), found(7, "/7"), found(9, "/9")]);
    }
}

#[test]
fn what_only_begins_like_frames_is_searched_for_http_1() {
    let get = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    for first in [
        frame(DATA, 0, 1, b"x"),
        frame(SETTINGS, 0, 0, b""),
        [frame(SETTINGS, 0, 0, b""), frame(SETTINGS, 0, 0, b"")].concat(),
        frame(HEADERS, END_HEADERS, 1, b"\xbe\x80"),
        frame(HEADERS, END_HEADERS, 1, &literals(&[("a", "b")])),
        b"\0\0\x01".to_vec(),
    ] {
        let mut wire = Wire::new(false);
        wire.data(&first);
        wire.data(get);
        let heads: Vec<_> = wire.found.iter().map(|it| it.head.lines().next().unwrap().to_owned()).collect();
        assert_eq!(heads, ["GET /1 HTTP/1.1"], "{}", first.escape_ascii());
        assert_eq!(wire.ledger.resync_bytes, first.len() as u64);
    }
}

#[test]
fn a_connection_that_is_wanted_again_is_found_again() {
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &request(1, "/1")].concat());
    wire.step(|parser, cx| parser.want(false, cx));
    wire.data(&request(3, "/3"));
    wire.step(|parser, cx| parser.want(true, cx));
    wire.data(&request(5, "/5"));
    wire.data(&request(7, "/7"));
    let targets: Vec<_> = wire.found.iter().map(|it| it.stream_id).collect();
    assert_eq!(targets, [Some(1), Some(5), Some(7)]);
}

#[test]
fn a_gap_across_frames_is_followed_by_a_search() {
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &request(1, "/1")].concat());
    wire.accept(StreamEvent::Gap { bytes: 5 });
    // Frames are not looked for within a segment, and never HTTP/1.
    wire.data(&[b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", &request(3, "/3")[..]].concat());
    wire.data(&request(5, "/5"));
    wire.data(&request(7, "/7"));
    let found =
        |stream_id, target: &str| Found { is_resynchronized: true, ..Found::whole(stream_id, &head(target)) };
    assert_eq!(wire.found, [Found::whole(1, &head("/1")), found(5, "/5"), found(7, "/7")]);
    assert_eq!(wire.ledger.resyncs, 1);
}

#[test]
fn a_gap_in_a_header_block_ends_where_its_frame_ends() {
    let whole = frame(HEADERS, END_HEADERS, 3, &block("/3", &[("x-team", "a")]));
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &request(1, "/1"), &whole[..whole.len() - 8]].concat());
    wire.accept(StreamEvent::Gap { bytes: 5 });
    wire.data(&whole[whole.len() - 3..]);
    wire.data(&frame(HEADERS, END_HEADERS, 5, &[0x82, 0x84, 0x86, 0xbe]));
    let cut = Found { incomplete: Some(Cause::Gap), ..Found::whole(3, &head("/3")) };
    let next = Found { unknown_fields: 1, ..Found::whole(5, "GET / HTTP/2\n(unknown): \n\n") };
    assert_eq!(wire.found, [Found::whole(1, &head("/1")), cut, next]);
    assert_eq!((wire.ledger.resyncs, wire.ledger.unknown_fields), (0, 1));
}

#[test]
fn a_preface_that_a_body_may_contain_shows_no_start() {
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, b""), &request(1, "/1")].concat();
    let found = Found { is_resynchronized: true, ..Found::whole(1, &head("/1")) };
    // It is recognised in one piece.
    for step in PREFACE.len()..=bytes.len() {
        assert_eq!(Wire::new(false).pieces(&bytes, step).found, std::slice::from_ref(&found), "{step}");
    }
}
