use std::fmt::Write;

use super::*;

fn read(head: &[u8]) -> HttpRequest<'_> {
    HttpRequest::read(head, usize::MAX, &mut HeadMemory::default())
}

fn values<'r>(request: &'r HttpRequest<'_>, name: &'r str) -> Vec<&'r [u8]> {
    request.values(name).collect()
}

#[test]
fn parts_are_found_in_the_head() {
    let request = read(b"GET /a?b=c HTTP/1.1\r\nHost: x \r\nX-Empty:\r\nhost: y\r\n\r\n");
    let line = (request.method(), request.target(), request.version());
    assert_eq!(line, (&b"GET"[..], &b"/a?b=c"[..], Some("1.1")));
    let fields: Vec<_> = request.fields().map(|field| (field.name(), field.value())).collect();
    assert_eq!(fields, [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"host", b"y")]);
    assert_eq!(values(&request, "HOST"), [b"x", b"y"]);
    assert_eq!((request.malformation, request.incomplete), (Some(Malformation::Host), None));
}

#[test]
fn a_head_may_have_thousands_of_fields() {
    let mut head = String::from("GET / HTTP/1.1\r\n");
    for number in 0..5000 {
        write!(head, "x-{number}: {number}\r\n").unwrap();
    }
    head.push_str("content-length: 7\r\n\r\n");
    let request = read(head.as_bytes());
    assert_eq!(request.fields().len(), 5001);
    assert_eq!(values(&request, "x-4999"), [b"4999"]);
    let request = HttpRequest::read(head.as_bytes(), 2000, &mut HeadMemory::default());
    assert_eq!(request.fields().len(), 2000);
    assert_eq!(request.incomplete.unwrap().cause, Cause::Length);
    assert_eq!(request.framing(), Framing::Length(7), "read from what is left out");
}

#[test]
fn bytes_that_are_not_ascii_are_read_everywhere() {
    let request = read(b"GET /s?wd=\xcb\xd1\xcb\xf7 HTTP/1.1\r\nx-\xe9: \xff\r\nHost: x\r\n\r\n");
    assert_eq!(request.target(), b"/s?wd=\xcb\xd1\xcb\xf7");
    assert_eq!(request.malformation, Some(Malformation::Field));
    assert_eq!(values(&request, "host"), [b"x"]);
    assert_eq!(request.fields().next().unwrap().name(), b"x-\xe9");
    assert_eq!(read(b"GET /\xe4 HTTP/1.1\r\nHost: \xe4\r\n\r\n").malformation, None);
}

#[test]
fn nothing_that_was_sent_is_left_out() {
    for (line, name, value) in [
        (&b"bad name: 1"[..], &b"bad name"[..], &b"1"[..]),
        (b"x-team : payments", b"x-team", b"payments"),
        (b": empty", b"", b"empty"),
        (b"no colon", b"no colon", b""),
        (b" a: b", b" a", b"b"),
    ] {
        let head = [b"GET / HTTP/1.1\r\n", line, b"\r\nHost: x\r\n\r\n"].concat();
        let request = read(&head);
        let field = request.fields().next().unwrap();
        assert_eq!((field.name(), field.value()), (name, value), "{}", line.escape_ascii());
        assert_eq!(request.malformation, Some(Malformation::Field));
        assert_eq!(values(&request, "host"), [b"x"]);
    }
}

#[test]
fn framing_fields_with_spaces_are_marked() {
    let request = read(b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n");
    assert_eq!(request.framing(), Framing::Chunked);
    assert_eq!(request.framing_fault(), Some(FramingFault::SpaceBeforeColon));
}

#[test]
fn folded_lines_are_one() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\na: b\r\n c\r\n\td\r\nx: y\r\n\r\n", &["b   c   d", "y"][..]),
        ("GET / HTTP/1.1\na: b\n \nx: y\n\n", &["b", "y"]),
        ("GET / HTTP/1.1\r\na:\r\n b\r\n\r\n", &["b"]),
        ("GET / HTTP/1.1\r\na:\r\n \t b\r\n\r\n", &["b"]),
    ] {
        let request = read(head.as_bytes());
        let found: Vec<_> = request.fields().map(|field| str::from_utf8(field.value()).unwrap()).collect();
        assert_eq!(found, expected, "{head:?}");
        assert_eq!(request.target(), b"/");
    }
}

#[test]
fn control_characters_hide_nothing_and_are_marked() {
    let request = read(b"GET /\x1b[2J HTTP/1.1\r\nx-note: a\x1bb\x7f\0\r\nx-team:\tpayments\r\n\r\n");
    assert_eq!(request.target(), b"/\x1b[2J");
    assert_eq!(values(&request, "x-note"), [b"a\x1bb\x7f\0"]);
    assert_eq!(values(&request, "x-team"), [b"payments"]);
    assert_eq!(request.malformation, Some(Malformation::Target));
    assert_eq!(read(b"GET / HTTP/1.1\r\na: \0\r\n\r\n").malformation, Some(Malformation::Control));
}

#[test]
fn an_incomplete_head_keeps_what_is_there() {
    let incomplete = Incomplete { cause: Cause::Gap, gap_bytes: 5 };
    let read = |part| HttpRequest::read_incomplete(part, incomplete, usize::MAX, &mut HeadMemory::default());
    let request = read(b"GET / HTTP/1.1\r\nhost: x\r\ncookie: a").unwrap();
    assert_eq!(request.incomplete, Some(incomplete));
    assert_eq!(request.fields().map(|field| field.name().to_vec()).collect::<Vec<_>>(), [b"host"]);
    let request = read(b"GET /long/targ").unwrap();
    assert_eq!((request.target(), request.version(), request.malformation), (&b"/long/targ"[..], None, None));
    assert!(read(b"GE").is_none() && read(b"GET ").is_none());
}

#[test]
fn the_end_is_found_wherever_the_bytes_are_cut() {
    for (bytes, expected) in [
        (&b"a\r\n\r\nb"[..], 5),
        (b"a\n\nb", 3),
        (b"a\r\nb\n\r\nc", 7),
        (b"a\n\r\n", 4),
        (b"a\r\nb\r\n\r\n", 8),
    ] {
        assert_eq!(end(bytes, 0), Ok(expected));
        for cut in 0..expected {
            let from = end(&bytes[..cut], 0).unwrap_err();
            assert_eq!(end(bytes, from), Ok(expected), "{} cut at {cut}", bytes.escape_ascii());
        }
    }
}
