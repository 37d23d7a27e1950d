//! Errors of a connection, after which a server serves nothing more (RFC 9113 section 5.4.1).

use super::*;

const PRIORITY_FRAME: u8 = 2;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;

/// Returns the frames with which a client begins: its settings, and the request of stream 3, which it does not end.
fn begun() -> Vec<u8> {
    [frame(SETTINGS, 0, 0, b""), frame(HEADERS, END_HEADERS, 3, &block("/3", &[]))].concat()
}

/// Returns how many requests of `frames` and a further one are marked as possibly unread, however the frames are cut.
fn marked(frames: &[u8]) -> u64 {
    let bytes = [PREFACE, frames, &request(101, "/next")].concat();
    let marks = [1, 2, 5, 1000, bytes.len()].map(|step| {
        let wire = Wire::new(true).pieces(&bytes, step);
        let last = wire.found.last().unwrap();
        assert_eq!(last, &Found::whole(101, &head("/next")), "{}", frames.escape_ascii());
        wire.ledger.possibly_unread_requests
    });
    assert_eq!(marks, [marks[0]; 5], "{}", frames.escape_ascii());
    marks[0]
}

/// A frame whose payload is so many zeros.
fn zeros(kind: u8, flags: u8, stream_id: u32, length: usize) -> Vec<u8> {
    frame(kind, flags, stream_id, &vec![0; length])
}

fn setting(id: u8, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 3, 0, 0, 0, 100, 0, id][..], &value.to_be_bytes()].concat())
}

fn window_update(stream_id: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream_id, &increment.to_be_bytes())
}

/// A request whose header block begins with a table size of 4,097 bytes.
fn large_table(stream_id: u32) -> Vec<u8> {
    let block = [&[0x3f, 0xe2, 0x1f][..], &block("/5", &[])].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream_id, &block)
}

#[test]
fn what_follows_a_connection_error_is_marked() {
    for (section, frames) in [
        ("5.1", zeros(DATA, 0, 5, 1)),
        ("5.1", zeros(RST_STREAM, 0, 5, 4)),
        ("5.1", window_update(5, 1)),
        ("6.1", zeros(DATA, 0, 0, 1)),
        ("6.1", zeros(DATA, 0, 2, 1)),
        ("6.1", frame(DATA, PADDED, 3, b"")),
        ("6.1", frame(DATA, PADDED, 3, b"\x01")),
        ("6.1", frame(DATA, PADDED, 3, b"\x05abcd")),
        ("6.3", zeros(PRIORITY_FRAME, 0, 0, 5)),
        ("6.3", zeros(PRIORITY_FRAME, 0, 3, 4)),
        ("6.4", zeros(RST_STREAM, 0, 0, 4)),
        ("6.4", zeros(RST_STREAM, 0, 3, 5)),
        ("6.5", zeros(SETTINGS, 0, 0, 5)),
        ("6.5", zeros(SETTINGS, 0, 3, 0)),
        ("6.5", zeros(SETTINGS, ACK, 0, 6)),
        ("6.5.2", setting(2, 2)),
        ("6.5.2", setting(4, 1 << 31)),
        ("6.5.2", setting(5, (1 << 14) - 1)),
        ("6.5.2", setting(5, 1 << 24)),
        ("6.7", zeros(PING, 0, 0, 7)),
        ("6.7", zeros(PING, 0, 3, 8)),
        ("6.8", zeros(GOAWAY, 0, 3, 8)),
        ("6.8", zeros(GOAWAY, 0, 0, 7)),
        ("6.9", zeros(WINDOW_UPDATE, 0, 0, 3)),
        ("6.9", zeros(WINDOW_UPDATE, 0, 3, 5)),
        ("6.9", window_update(0, 0)),
        ("6.9", window_update(3, 0)),
        ("6.9", window_update(0, 1 << 31)),
        ("4.2", zeros(DATA, 0, 3, (1 << 14) + 1)),
        ("4.2", zeros(0x2a, 0, 3, (1 << 14) + 1)),
    ] {
        assert_eq!(marked(&[begun(), frames.clone()].concat()), 1, "{section} {}", frames.escape_ascii());
    }
}

#[test]
fn what_comes_in_a_frame_that_is_refused_is_marked_too() {
    for (section, frames) in [
        ("5.1.1", request(0, "/0")),
        ("5.1.1", request(2, "/2")),
        ("5.1.1", request(4, "/4")),
        ("5.1.1", request(1, "/1")),
        ("5.1.1", request(3, "/3")),
        ("RFC 7541 4.2", large_table(5)),
    ] {
        assert_eq!(marked(&[begun(), frames.clone()].concat()), 2, "{section} {}", frames.escape_ascii());
    }
    // That of a stream that is not to be used is shown, and marked as malformed.
    for stream_id in [0, 1, 2, 3, 4] {
        let bytes = [PREFACE, &begun(), &request(stream_id, "/again")].concat();
        let wire = Wire::new(true).pieces(&bytes, bytes.len());
        let expected =
            Found { malformation: Some(Malformation::Stream), ..Found::whole(stream_id, &head("/again")) };
        assert_eq!(wire.found[1..], [expected]);
    }
}

#[test]
fn a_connection_that_does_not_begin_with_settings_is_refused() {
    assert_eq!(marked(b""), 1);
    assert_eq!(marked(&window_update(0, 1)), 1);
    assert_eq!(marked(&zeros(SETTINGS, ACK, 0, 0)), 1);
    assert_eq!(marked(&zeros(SETTINGS, 0, 0, 0)), 0);
}

#[test]
fn a_window_that_overflows_before_the_server_can_have_sent_anything_is_an_error() {
    let settings = frame(SETTINGS, 0, 0, b"");
    let most = (1 << 31) - 1 - 65_535;
    assert_eq!(marked(&[&settings[..], &window_update(0, most)].concat()), 0);
    assert_eq!(marked(&[&settings[..], &window_update(0, most + 1)].concat()), 1);
    assert_eq!(marked(&[&settings[..], &window_update(0, most), &window_update(0, 1)].concat()), 1);
    // What the server has sent for a request makes room.
    assert_eq!(marked(&[begun(), window_update(0, most), window_update(0, most)].concat()), 0);
}

#[test]
fn what_is_unusual_and_allowed_is_not_marked() {
    for (section, frames) in [
        ("5.5", zeros(0x2a, 0xff, 0, 3)),
        ("5.5", zeros(0x2a, 0xff, 9, 3)),
        ("4.1", frame(PING, 0xf0, 0, b"8 bytes.")),
        ("4.1", frame(DATA, 0x40, 3 | 1 << 31, b"x")),
        ("5.1", zeros(PRIORITY_FRAME, 0, 99, 5)),
        ("5.1", zeros(PRIORITY_FRAME, 0, 1, 5)),
        ("5.1", window_update(1, 1)),
        ("5.1", window_update(3, 1)),
        ("5.1", zeros(RST_STREAM, 0, 1, 4)),
        ("5.1", [zeros(RST_STREAM, 0, 3, 4), zeros(RST_STREAM, 0, 3, 4)].concat()),
        // Of streams that the server may have reserved.
        ("5.1", [window_update(2, 1), zeros(RST_STREAM, 0, 2, 4), zeros(PRIORITY_FRAME, 0, 2, 5)].concat()),
        ("6.1", frame(DATA, PADDED, 3, b"\0")),
        ("6.1", frame(DATA, PADDED, 3, b"\x04abcd")),
        ("6.1", frame(DATA, 0, 3, b"\x05abc")),
        ("6.1", zeros(DATA, 0, 3, 1 << 14)),
        ("6.2", frame(HEADERS, PADDED | END_STREAM | END_HEADERS, 3, b"\x04\0\0\0\0")),
        ("6.3", frame(PRIORITY_FRAME, 0, 3, &[0, 0, 0, 3, 9])),
        ("6.5", zeros(SETTINGS, ACK, 0, 0)),
        ("6.5.2", setting(2, 0)),
        ("6.5.2", setting(2, 1)),
        ("6.5.2", setting(4, (1 << 31) - 1)),
        ("6.5.2", setting(5, 1 << 14)),
        ("6.5.2", setting(5, (1 << 24) - 1)),
        ("6.5.2", setting(0xaa, u32::MAX)),
        ("6.7", zeros(PING, ACK, 0, 8)),
        ("6.8", zeros(GOAWAY, 0, 0, 30)),
        // Errors of a stream.
        ("8.1", frame(HEADERS, END_STREAM | END_HEADERS, 5, b"")),
        ("8.1", frame(HEADERS, END_STREAM | END_HEADERS, 3, &literals(&[("x-checksum", "7")]))),
    ] {
        assert_eq!(marked(&[begun(), frames.clone()].concat()), 0, "{section} {}", frames.escape_ascii());
    }
}

#[test]
fn a_server_may_have_raised_its_limits_once_its_settings_were_acknowledged() {
    let acknowledged = [begun(), zeros(SETTINGS, ACK, 0, 0)].concat();
    for frames in [zeros(DATA, 0, 3, (1 << 14) + 1), large_table(5)] {
        assert_eq!(marked(&[&acknowledged[..], &frames].concat()), 0);
    }
}

#[test]
fn only_what_is_certain_is_marked_on_a_connection_that_was_joined() {
    let count = |frames: &[u8]| {
        let mut wire = Wire::new(false);
        wire.data(&[request(7, "/7"), frame(PING, 0, 0, b"8 bytes.")].concat());
        wire.data(&[frames, &request(101, "/next")].concat());
        assert_eq!(wire.found.last().unwrap().stream_id, Some(101));
        wire.ledger.possibly_unread_requests
    };
    for (frames, marks) in [
        (frame(PING, 0, 0, b"8 bytes."), 0),
        (zeros(DATA, 0, 7, (1 << 14) + 1), 0),
        (large_table(9), 0),
        (window_update(0, (1 << 31) - 1), 0),
        (zeros(DATA, 0, 0, 1), 1),
        // Higher ones than the latest cannot have begun.
        (zeros(DATA, 0, 9, 1), 1),
        (request(5, "/5"), 2),
    ] {
        assert_eq!(count(&frames), marks, "{}", frames.escape_ascii());
    }
    // Nothing is known of streams before the first request.
    let mut wire = Wire::new(false);
    wire.data(&[zeros(DATA, 0, 9, 1), window_update(9, 1), request(11, "/11")].concat());
    assert_eq!((wire.found.len(), wire.ledger.possibly_unread_requests), (1, 0));
}

#[test]
fn after_a_gap_a_stream_may_have_begun_and_the_mark_stays() {
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &begun()].concat());
    wire.accept(StreamEvent::Gap { bytes: 5 });
    wire.data(&[zeros(DATA, 0, 9, 1), request(11, "/11")].concat());
    assert_eq!((wire.found.len(), wire.ledger.possibly_unread_requests), (2, 0));
    wire.data(&zeros(PING, 0, 0, 7));
    wire.accept(StreamEvent::Gap { bytes: 5 });
    wire.data(&request(13, "/13"));
    assert_eq!((wire.found.len(), wire.ledger.possibly_unread_requests), (3, 1));
    // What is missing of a payload is not judged.
    let mut wire = Wire::new(true);
    wire.data(&[PREFACE, &begun(), &setting(2, 1)[..11]].concat());
    wire.accept(StreamEvent::Gap { bytes: 3 });
    wire.data(&[&setting(2, 1)[14..], &request(5, "/5")].concat());
    assert_eq!((wire.found.len(), wire.ledger.possibly_unread_requests), (2, 0));
}

#[test]
fn what_is_judged_is_needed() {
    for (frames, judged, unneeded) in
        [(frame(DATA, PADDED, 3, b"\x05abcd"), 1, 4), (setting(2, 2), 12, 0), (window_update(0, 0), 4, 0)]
    {
        let (header, payload) = frames.split_at(9);
        let mut wire = Wire::new(true);
        wire.data(&[PREFACE, &begun(), header].concat());
        assert_eq!(wire.parser.unneeded_bytes(), 0, "{}", frames.escape_ascii());
        wire.data(&payload[..judged]);
        assert_eq!(wire.parser.unneeded_bytes(), unneeded, "{}", frames.escape_ascii());
    }
}
