mod connections;
mod http2;
mod ledger;
mod messages;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use toa_common::{
    address::Address,
    attribution::{LearnedFrom, flags},
    flow_key::FlowKey,
};

use super::*;
use crate::{
    event::Closed,
    http::{
        FramingFault, NotHttp, ProxyVersion,
        head::{Cause, Certainty, HttpRequest, Incomplete},
    },
    print::{field_choice::FieldChoice, redact::Redactor, tests::first_request},
    segment::tests::segment,
    tls::ClientHello,
};

mod times;

/// 2026-11-22T07:43:27.123456789Z.
const TIME_NS: u64 = 1_795_333_407_123_456_789;

fn schema() -> Validator {
    let schema = serde_json::from_str(include_str!("../../../schema/toa-tc.schema.json")).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn printer(redactor: Redactor) -> Json<Vec<u8>> {
    let name = |index| (index == 2).then(|| Arc::from("eth0"));
    Json::new(Vec::new(), redactor, "web-17".to_owned(), Box::new(name), None)
}

fn connection() -> Connection {
    Connection::new(3, &segment(0xab_cdef, 0, b""))
}

fn request(head: &[u8]) -> HttpRequest<'_> {
    first_request(head, TIME_NS)
}

/// Returns what is written.
fn written(json: &mut Json<Vec<u8>>) -> String {
    json.lines().flush().unwrap();
    String::from_utf8(json.lines().writer().clone()).unwrap()
}

/// Returns the lines as objects, after checking each against the schema.
fn lines(json: &mut Json<Vec<u8>>) -> Vec<Value> {
    let text = written(json);
    assert!(text.ends_with('\n'));
    let schema = schema();
    let check = |line: &str| {
        let value = serde_json::from_str(line).unwrap();
        if let Err(error) = schema.validate(&value) {
            panic!("{error} at {}: {line}", error.instance_path());
        }
        value
    };
    text.lines().map(check).collect()
}

fn print_request(redactor: Redactor, connection: &Connection, request: &HttpRequest<'_>) -> Value {
    let mut json = printer(redactor);
    json.event(connection, &Event::Request(request));
    let mut lines = lines(&mut json);
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

#[test]
fn only_chosen_fields_are_printed() {
    let patterns = |name| vec![glob::Pattern::new(name).unwrap()];
    let fields = FieldChoice::new(patterns("x-*"), patterns("*-none"));
    let view = View { redactor: Redactor::default(), fields };
    let mut json = Json::new(Vec::new(), view, "web-17".to_owned(), Box::new(|_| None), None);
    let head = b"GET / HTTP/1.1\r\nhost: a\r\nX-Team: a\r\nx-none: a\r\nx-team: b\r\n\r\n";
    json.event(&connection(), &Event::Request(&request(head)));
    assert_eq!(lines(&mut json)[0]["http"]["request"]["header"], json!({"x-team": ["a", "b"]}));
}

#[test]
fn a_request_is_printed_as_documented() {
    let head = b"GET /orders?id=7 HTTP/1.1\r\nHost: api.example\r\nX-Team: payments\r\n\r\n";
    let mut json = printer(Redactor::default());
    json.event(&connection(), &Event::Request(&request(head)));
    let expected = concat!(
        r#"{"event":"request","timestamp":"2026-11-22T07:43:27.123456789Z","host":{"name":"web-17"},"#,
        r#""client":{"address":"120.120.111.111","port":44208},"#,
        r#""network":{"peer":{"address":"10.9.0.1","port":37608},"interface":{"name":"eth0"},"#,
        r#""protocol":{"name":"http","version":"1.1"}},"#,
        r#""server":{"address":"10.9.0.2","port":80},"workload":null,"proxy":null,"#,
        r#""http":{"request":{"method":"GET","header":{"host":["api.example"],"x-team":["payments"]}}},"#,
        r#""url":{"original":"/orders?id=7","path":"/orders","query":"id=7"},"#,
        r#""toa":{"kind":254,"length":8,"learned_from":"syn","ambiguous":false},"#,
        r#""connection":{"id":"abcdef-3","request":1,"stream":null},"#,
        r#""incomplete":null,"malformed":null,"resynchronized":false,"reopened":false,"possibly_unread":false,"conflicting":null,"#,
        r#""framing_fault":null,"unknown_fields":null}"#,
        "\n"
    );
    assert_eq!(written(&mut json), expected);
    lines(&mut json);
}

#[test]
fn a_connection_without_a_toa_has_none() {
    let mut connection = connection();
    (connection.attribution.toa_kind, connection.attribution.toa_length) = (0, 0);
    let value = print_request(Redactor::default(), &connection, &request(b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(value["toa"], Value::Null);
    assert_eq!(value["client"], Value::Null);
}

#[test]
fn other_values_of_a_connection_are_told() {
    let mut connection = connection();
    let ipv6 = Address::from_ipv6(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    connection.key = FlowKey { source: ipv6, ..connection.key };
    connection.attribution.address = ipv6;
    connection.interface_index = 9;
    (connection.attribution.toa_kind, connection.attribution.toa_length) = (253, 20);
    connection.attribution.flags = flags::AMBIGUOUS;
    for (learned_from, name) in
        [(LearnedFrom::Syn, "syn"), (LearnedFrom::Ack, "ack"), (LearnedFrom::Data, "data")]
    {
        connection.attribution.learned_from = learned_from as u8;
        let mut request = request(b"POST * HTTP/1.0\r\n\r\n");
        request.number = 7;
        request.incomplete = Some(Incomplete { cause: Cause::Gap, gap_bytes: 1448 });
        let value = print_request(Redactor::default(), &connection, &request);
        let toa = json!({"kind": 253, "length": 20, "learned_from": name, "ambiguous": true});
        assert_eq!(value["toa"], toa);
        assert_eq!(value["client"]["address"], "2001:db8::7");
        assert_eq!(value["network"]["peer"]["address"], "2001:db8::7");
        assert_eq!(value["network"]["interface"], json!({"name": null}));
        assert_eq!(value["network"]["protocol"]["version"], "1.0");
        assert_eq!(value["connection"]["request"], 7);
        assert_eq!(value["incomplete"], json!({"cause": "gap", "gap_bytes": 1448}));
    }
}

#[test]
fn a_doubtful_length_is_told() {
    use FramingFault as Fault;
    for (fields, fault) in [
        ("content-length: 1, 1\r\n", Fault::RepeatedLength),
        ("content-length: 1, 2\r\n", Fault::ConflictingLengths),
        ("content-length: x\r\n", Fault::InvalidLength),
        ("content-length: 1\r\ntransfer-encoding: chunked\r\n", Fault::LengthAndCoding),
        ("transfer-encoding: gzip\r\n", Fault::UnknownCoding),
        ("content-length : 1\r\n", Fault::SpaceBeforeColon),
    ] {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        let value = print_request(Redactor::default(), &connection(), &request(head.as_bytes()));
        assert_eq!(value["framing_fault"], fault.name());
    }
}

#[test]
fn doubts_are_told() {
    let head = b"GET /a b HTTP/1.1\r\n\r\n";
    let mut request = request(head);
    let mut connection = connection();
    let told = |connection: &Connection, request: &HttpRequest<'_>| {
        let value = print_request(Redactor::default(), connection, request);
        ["malformed", "resynchronized", "reopened", "possibly_unread", "conflicting"]
            .map(|name| value[name].clone())
    };
    let [yes, no] = [true, false].map(Value::from);
    assert_eq!(
        told(&connection, &request),
        [&json!("target"), &no, &no, &no, &Value::Null].map(Clone::clone)
    );
    request.certainty =
        Certainty { resynchronized: true, conflicting: true, reopened: true, possibly_unread: true };
    assert_eq!(
        told(&connection, &request),
        [&json!("target"), &yes, &yes, &yes, &json!("bytes")].map(Clone::clone)
    );
    connection.attribution.flags = flags::CONFLICT;
    assert_eq!(told(&connection, &request)[4], "bytes and client");
    request.certainty.conflicting = false;
    assert_eq!(told(&connection, &request)[4], "client");
}

#[test]
fn what_is_not_http_1_has_no_version() {
    for (head, version) in [
        (&b"GET /\r\n"[..], json!("0.9")),
        (b"GET / HTTP/1.25\r\n\r\n", json!("1.25")),
        (b"GET / HTTP/2.0\r\n\r\n", Value::Null),
        (b"GET\r\n", Value::Null),
        (b"GET / HTTP/1.1\r\n: no name\r\nno colon\r\n\r\n", json!("1.1")),
    ] {
        let value = print_request(Redactor::default(), &connection(), &request(head));
        assert_eq!(value["network"]["protocol"]["version"], version);
    }
}

#[test]
fn targets_have_their_parts() {
    for (target, original, path, query) in [
        ("/", "/", Some("/"), None),
        ("/a?", "/a?", Some("/a"), Some("")),
        ("/a?b?c=d", "/a?b?c=d", Some("/a"), Some("b?c=d")),
        ("/a?token=x&b=1#f", "/a?token=•••&b=1#f", Some("/a"), Some("token=•••&b=1")),
        ("/a#b?c", "/a#b?c", Some("/a"), None),
        ("/a;sid=x/b", "/a;sid=•••", Some("/a;sid=•••"), None),
        ("//a/b", "//a/b", Some("//a/b"), None),
        ("http://h/a?b=c", "http://h/a?b=c", Some("/a"), Some("b=c")),
        ("http://u:p@h:8/p@q?a=/?b", "http://•••@h:8/p@q?a=/?b", Some("/p@q"), Some("a=/?b")),
        ("http://h", "http://h", Some("/"), None),
        ("http://h?a=b", "http://h?a=b", Some("/"), Some("a=b")),
        ("h:443", "h:443", None, None),
        ("*", "*", None, None),
        ("x?y=http://z/", "x?y=http://z/", None, None),
        ("/\u{9b}\\", r"/\xc2\x9b\\", Some(r"/\xc2\x9b\\"), None),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        let request = request(head.as_bytes());
        let value = print_request(Redactor::default(), &connection(), &request);
        assert_eq!(value["url"], json!({"original": original, "path": path, "query": query}), "{target}");
    }
}

#[test]
fn fields_are_grouped_in_their_order() {
    let head = b"GET / HTTP/1.1\r\nX-B: 1\r\nhost: h\r\nx-b: 2\r\nA: \r\nX-b: 3\r\n\r\n";
    let mut json = printer(Redactor::default());
    json.event(&connection(), &Event::Request(&request(head)));
    let text = written(&mut json);
    assert!(text.contains(r#""header":{"x-b":["1","2","3"],"host":["h"],"a":[""]}"#), "{text}");
}

#[test]
fn many_fields_are_little_work() {
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    (0..16_000).for_each(|number: u32| head.extend(format!("{number:x}:\r\n").bytes()));
    head.extend(b"\r\n");
    let value = print_request(Redactor::default(), &connection(), &request(&head));
    assert_eq!(value["http"]["request"]["header"].as_object().unwrap().len(), 16_000);
}

#[test]
fn lines_that_are_all_name_share_one_that_is_redacted() {
    let head = b"GET / HTTP/1.1\r\nAuthorization hunter2\r\nx: 1\r\nauthorization hunter3\r\n\r\n";
    let value = print_request(Redactor::default(), &connection(), &request(head));
    assert_eq!(value["http"]["request"]["header"], json!({"authorization •••": ["", ""], "x": ["1"]}));
}

#[test]
fn secrets_are_hidden_unless_wanted() {
    let head = b"GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\ncookie: a=b; c\r\nX-Api-Key: abc\r\n\r\n";
    let request = request(head);
    let value = print_request(Redactor::default(), &connection(), &request);
    let hidden = json!({
        "authorization": ["Bearer ••• (redacted)"], "cookie": ["a=•••; •••"], "x-api-key": ["••• (redacted)"]
    });
    assert_eq!(value["http"]["request"]["header"], hidden);
    let value = print_request(Redactor::show_secrets(), &connection(), &request);
    let shown = json!({"authorization": ["Bearer abc"], "cookie": ["a=b; c"], "x-api-key": ["abc"]});
    assert_eq!(value["http"]["request"]["header"], shown);
}

#[test]
fn the_schema_takes_nothing_else() {
    let schema = schema();
    let head = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    let good = print_request(Redactor::default(), &connection(), &request(head));
    let changes: [fn(&mut Value); 10] = [
        |it| it["extra"] = json!(1),
        |it| it["toa"]["extra"] = json!(1),
        |it| it["event"] = json!("other"),
        |it| it["incomplete"] = json!(7),
        |it| it["client"]["address"] = json!("localhost"),
        |it| it["timestamp"] = json!("2026-11-22T07:43:27Z"),
        |it| it["url"]["original"] = json!("/\u{1b}"),
        |it| it["http"]["request"]["header"]["Host"] = json!(["h"]),
        |it| it["http"]["request"]["header"]["host"] = json!("h"),
        |it| drop(it.as_object_mut().unwrap().remove("server")),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!schema.is_valid(&bad), "change {number}");
    }
}

#[test]
fn an_interface_may_get_another_name() {
    let renamed = Arc::new(AtomicBool::new(false));
    let is_renamed = Arc::clone(&renamed);
    let name = move |_| Some(Arc::from(if is_renamed.load(Ordering::Relaxed) { "ext0" } else { "eth0" }));
    let mut json = Json::new(Vec::new(), Redactor::default(), "web-17".to_owned(), Box::new(name), None);
    json.event(&connection(), &Event::Opened);
    renamed.store(true, Ordering::Relaxed);
    json.event(&connection(), &Event::Opened);
    let names: Vec<_> =
        lines(&mut json).iter().map(|value| value["network"]["interface"]["name"].clone()).collect();
    assert_eq!(names, ["eth0", "ext0"]);
}

/// Bytes of a target, without those that would end it.
fn target() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"/?#;&=:@%\\\"ab".to_vec())];
    prop::collection::vec(byte.prop_filter("ends a target", |byte| *byte > b' ' && *byte != 0x7f), 1..40)
}

/// Fields: names of few letters, so that some occur twice, and values of any bytes that do not end a line.
fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let byte = any::<u8>().prop_filter("ends a line", |byte| !matches!(byte, b'\r' | b'\n'));
    prop::collection::vec(
        ("[a-bA-B]{1,2}|cookie|Authorization|x-Token", prop::collection::vec(byte, 0..40)),
        0..8,
    )
}

proptest! {
    #[test]
    fn whatever_a_client_sends_is_valid(target in target(), fields in fields(), shows in any::<bool>()) {
        let mut head = [&b"GET "[..], &target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in &fields {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let request = first_request(head, TIME_NS);
        let redactor = if shows { Redactor::show_secrets() } else { Redactor::default() };
        let value = print_request(redactor, &connection(), &request);
        let header = value["http"]["request"]["header"].as_object().unwrap();
        for (name, values) in header {
            let count = request.values(name).count();
            prop_assert_eq!(values.as_array().unwrap().len(), count);
        }
        let printed: usize = header.values().map(|values| values.as_array().unwrap().len()).sum();
        prop_assert_eq!(printed, request.fields().len());
        if shows {
            let mut escaped = Vec::new();
            crate::print::escape::escape(request.target(), &mut escaped);
            prop_assert_eq!(value["url"]["original"].as_str().unwrap().as_bytes(), escaped);
        }
    }

    #[test]
    fn whatever_is_not_http_is_valid(preview in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut json = printer(Redactor::default());
        json.event(&connection(), &Event::NotHttp { reason: NotHttp::Other, preview: &preview });
        prop_assert_eq!(lines(&mut json).len(), 1);
    }
}
