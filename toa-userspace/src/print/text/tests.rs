use jiff::tz::TimeZone;
use toa_common::{address::Address, flow_key::FlowKey};

use super::*;
use crate::{
    http::{
        Endpoint, ProxyHeader, ProxyVersion,
        head::{Cause, Certainty, Incomplete},
    },
    print::{
        field_choice::FieldChoice,
        tests::{empty_http2, first_request, joined_http2},
    },
    segment::tests::segment,
};

/// 2026-11-22T12:01:02.123456789Z.
const TIME_NS: u64 = 1_795_348_862_123_456_789;

fn print(connection: &Connection, head: &str, change: impl FnOnce(&mut HttpRequest<'_>)) -> String {
    let mut request = first_request(head.as_bytes(), TIME_NS);
    change(&mut request);
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    text.event(connection, &Event::Request(&request));
    written(&mut text)
}

/// Returns what is written.
fn written(text: &mut Text<Vec<u8>>) -> String {
    text.lines().flush().unwrap();
    String::from_utf8(text.lines().writer().clone()).unwrap()
}

#[test]
fn a_request_is_printed_as_documented() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let head = "GET /orders?id=7 HTTP/1.1\r\nHost: api.example\r\nX-Team: payments\r\n\
                Authorization: Bearer abc\r\n\r\n";
    let expected = "\
12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /orders?id=7 HTTP/1.1
    host: api.example
    x-team: payments
    authorization: Bearer ••• (redacted)
";
    assert_eq!(print(&connection, head, |_| ()), expected);
}

#[test]
fn a_request_of_http_2_is_printed_like_any_other() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    joined_http2(TIME_NS, |request| text.event(&connection, &Event::Request(request)));
    let expected = "\
12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /a?token=••• HTTP/2 [resynchronized] [2 unknown fields]
    host: api.example
    authorization: Bearer ••• (redacted)
    (unknown): ••• (redacted)
    (unknown): 
";
    assert_eq!(written(&mut text), expected);
}

#[test]
fn what_a_request_of_http_2_lacks_is_said() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    empty_http2(TIME_NS, |request| text.event(&connection, &Event::Request(request)));
    let line = written(&mut text);
    assert!(line.ends_with(" (none) (none) HTTP/2 [malformed: method]\n"), "{line}");
}

#[test]
fn a_request_in_tls_says_so() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    connection.is_decrypted = true;
    let line = print(&connection, "GET / HTTP/1.0\r\n\r\n", |_| ());
    assert!(line.ends_with(" GET / HTTP/1.0 [TLS]\n"), "{line}");
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    let address = |last| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        bytes[15] = last;
        Address::from_ipv6(&bytes)
    };
    connection.key = FlowKey { source: address(1), destination: address(2), ..connection.key };
    connection.attribution.address = address(3);
    assert_eq!(
        print(&connection, "GET / HTTP/1.0\r\n\r\n", |_| ()),
        "12:01:02.123456 [2001:db8::3]:44208 > [2001:db8::2]:80 (via [2001:db8::1]:37608) GET / HTTP/1.0\n"
    );
}

#[test]
fn a_request_that_lost_bytes_says_so() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let text = print(&connection, "GET / HTTP/1.0\r\n\r\n", |request| {
        request.incomplete = Some(Incomplete { cause: Cause::Gap, gap_bytes: 1448 });
    });
    assert!(text.ends_with(" GET / HTTP/1.0 [incomplete: gap of 1,448 bytes]\n"));
}

#[test]
fn doubts_are_told() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    connection.attribution.conflict();
    let text = print(&connection, "GET /a b HTTP/1.1\r\n\r\n", |request| {
        request.certainty =
            Certainty { resynchronized: true, conflicting: true, reopened: true, possibly_unread: true };
    });
    let marks = "[resynchronized] [malformed: target] [reopened] [possibly unread] [conflicting bytes] [conflicting client]";
    assert!(text.ends_with(&format!(" GET /a\\x20b HTTP/1.1 {marks}\n")), "{text}");
}

#[test]
fn a_doubtful_length_is_told() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let head = "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n";
    let text = print(&connection, head, |_| ());
    assert!(text.contains(" GET / HTTP/1.1 [content-length and transfer-encoding]\n"), "{text}");
}

#[test]
fn what_is_not_http_is_one_line() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    connection.last_ns = TIME_NS;
    let hello = |name: Option<&[u8]>, alpn: &[&[u8]]| ClientHello {
        server_name: name.map(<[u8]>::to_vec),
        alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        is_cut: false,
    };
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    text.event(&connection, &Event::Opened);
    text.event(&connection, &Event::Tls(&hello(Some(b"api.example"), &[b"h2", b"http/1.1"])));
    text.event(&connection, &Event::Tls(&hello(Some(b"\x1b[2J"), &[])));
    text.event(&connection, &Event::Tls(&hello(None, &[])));
    text.event(&connection, &Event::Proxy(ProxyVersion::V1));
    text.event(&connection, &Event::NotHttp { reason: NotHttp::Other, preview: b"AUTH hunter2\r\n" });
    let text = written(&mut text);
    let line = "12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) ";
    let expected = ["TLS api.example (h2, http/1.1)", r"TLS \x1b[2J", "TLS", "not HTTP (other): AUTH•••"];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected.map(|end| format!("{line}{end}")));
}

#[test]
fn what_a_client_sends_cannot_pose_as_output() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let text = print(&connection, "GET /\u{202e}\\ HTTP/1.1\r\nx: a\x1b[2J\x09b\u{9b}c\r\n\r\n", |_| ());
    assert!(text.lines().all(|line| line.chars().all(|character| !character.is_control())), "{text}");
    assert!(text.contains(r"GET /\xe2\x80\xae\\ HTTP/1.1"), "{text}");
}

#[test]
fn times_follow_a_wall_clock_that_is_set() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let request = first_request(b"GET / HTTP/1.1\r\n\r\n", TIME_NS);
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    let hour_ns = 3_600_000_000_000;
    for shift_ns in [0, hour_ns, -hour_ns, 0] {
        text.shift_times(shift_ns);
        text.event(&connection, &Event::Request(&request));
    }
    let lines = written(&mut text);
    let times: Vec<_> = lines.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(times, ["12:01:02.123456", "13:01:02.123456", "11:01:02.123456", "12:01:02.123456"]);
}

/// Prints a request of interface 2 in a layout, with a choice of fields.
fn print_as(layout: Layout, only: &[&str], head: &str) -> String {
    let only = only.iter().map(|name| glob::Pattern::new(name).unwrap()).collect();
    let view = View { redactor: Redactor::default(), fields: FieldChoice::new(only, Vec::new()) };
    let mut text = Text::new(Vec::new(), view, layout);
    let request = first_request(head.as_bytes(), TIME_NS);
    text.event(&Connection::new(1, &segment(1, 0, b"")), &Event::Request(&request));
    written(&mut text)
}

const HEAD: &str =
    "GET /a HTTP/1.1\r\nHost: b\r\nX-Team: pay \"ments\"\r\nX-None:\r\nAuthorization: Basic YWJj\r\n\r\n";

#[test]
fn only_chosen_fields_are_printed() {
    let text = print_as(Layout::of_day(TimeZone::UTC), &["x-*"], HEAD);
    let expected = "GET /a HTTP/1.1\n    x-team: pay \"ments\"\n    x-none: \n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_line_has_only_the_fields_that_were_chosen_and_each_is_one_word() {
    let layout = || Layout { is_one_line: true, ..Layout::of_day(TimeZone::UTC) };
    assert!(print_as(layout(), &[], HEAD).ends_with(" GET /a HTTP/1.1\n"));
    let text = print_as(layout(), &["x-*", "host", "authorization"], HEAD);
    let fields = r#"host=b x-team="pay \"ments\"" x-none="" authorization="Basic ••• (redacted)""#;
    assert!(text.ends_with(&format!(" GET /a HTTP/1.1 {fields}\n")), "{text}");
}

#[test]
fn a_name_cannot_pose_as_another_field() {
    let layout = Layout { is_one_line: true, ..Layout::of_day(TimeZone::UTC) };
    let text = print_as(layout, &["x-*"], "GET / HTTP/1.1\r\nhost: a\r\nx-a=1 x-team: payments\r\n\r\n");
    assert!(text.contains(r" x-a\x3d1\x20x-team=payments"), "{text}");
}

#[test]
fn colors_enclose_parts_of_a_line_and_change_nothing_else() {
    let colored = print_as(Layout { is_colored: true, ..Layout::of_day(TimeZone::UTC) }, &[], HEAD);
    let plain = print_as(Layout::of_day(TimeZone::UTC), &[], HEAD);
    assert!(
        colored.starts_with("\x1b[2m12:01:02.123456\x1b[0m \x1b[1m120.120.111.111:44208\x1b[0m > "),
        "{colored:?}"
    );
    assert!(colored.contains("\n    \x1b[36mhost\x1b[0m: b\n"), "{colored:?}");
    let mut without = String::new();
    for part in colored.split('\x1b') {
        without +=
            part.strip_prefix('[').and_then(|part| part.split_once('m')).map_or(part, |(_, rest)| rest);
    }
    assert_eq!(without, plain);
}

#[test]
fn a_line_has_its_interface_if_there_are_several() {
    for (name, shown) in [(Some("eth\x1b0"), r"eth\x1b0"), (None, "-")] {
        let interface_name: InterfaceName = Box::new(move |_| name.map(std::sync::Arc::from));
        let layout = Layout { interface_name: Some(interface_name), ..Layout::of_day(TimeZone::UTC) };
        let text = print_as(layout, &[], HEAD);
        assert!(text.starts_with(&format!("12:01:02.123456 {shown} 120.120.111.111:44208 > ")), "{text}");
    }
}

#[test]
fn times_of_an_unknown_zone_have_their_offset() {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let request = first_request(b"GET / HTTP/1.1\r\n\r\n", TIME_NS);
    for (zone, expected) in
        [(TimeZone::unknown(), "12:01:02.123456+00:00 "), (TimeZone::UTC, "12:01:02.123456 ")]
    {
        let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(zone));
        text.event(&connection, &Event::Request(&request));
        let line = written(&mut text);
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_client_that_nothing_names_is_a_dash() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    (connection.attribution.toa_kind, connection.attribution.toa_length) = (0, 0);
    let text = print(&connection, "GET / HTTP/1.0\r\n\r\n", |_| ());
    assert_eq!(text, "12:01:02.123456 - > 10.9.0.2:80 (via 10.9.0.1:37608) GET / HTTP/1.0\n");
}

#[test]
fn the_endpoint_of_a_private_link_is_told_and_escaped() {
    let mut connection = Connection::new(1, &segment(1, 0, b""));
    let endpoint = Endpoint { provider: "aws", id: b"vpce-1\x1b".to_vec() };
    connection.begin_with(ProxyHeader { endpoint: Some(endpoint), ..ProxyHeader::unknown(ProxyVersion::V2) });
    let text = print(&connection, "GET / HTTP/1.0\r\n\r\n", |_| ());
    assert!(text.ends_with(" GET / HTTP/1.0 [aws endpoint vpce-1\\x1b]\n"), "{text}");
}
