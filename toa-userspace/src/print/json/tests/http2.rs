//! Requests of HTTP/2.

use super::*;
use crate::print::tests::{empty_http2, joined_http2};

#[test]
fn a_request_of_http_2_is_printed_like_any_other() {
    for (redactor, token, authorization, unknown) in [
        (Redactor::default(), "•••", "Bearer ••• (redacted)", "••• (redacted)"),
        (Redactor::show_secrets(), "x1y2z", "Bearer abc", "hunter2"),
    ] {
        let mut json = printer(redactor);
        joined_http2(TIME_NS, |request| json.event(&connection(), &Event::Request(request)));
        let value = lines(&mut json).remove(0);
        assert_eq!(value["network"]["protocol"], json!({"name": "http", "version": "2"}));
        assert_eq!(value["url"]["original"], format!("/a?token={token}"));
        let header = json!({
            "host": ["api.example"],
            "authorization": [authorization],
            "(unknown)": [unknown, ""],
        });
        assert_eq!(value["http"]["request"], json!({"method": "GET", "header": header}));
        assert_eq!(value["connection"], json!({"id": "abcdef-3", "request": 1, "stream": 7}));
        let doubts = [&value["resynchronized"], &value["unknown_fields"], &value["malformed"]];
        assert_eq!(doubts, [&json!(true), &json!(2), &Value::Null]);
    }
}

#[test]
fn what_a_request_of_http_2_lacks_is_said() {
    let mut json = printer(Redactor::default());
    empty_http2(TIME_NS, |request| json.event(&connection(), &Event::Request(request)));
    let value = lines(&mut json).remove(0);
    assert_eq!(value["http"]["request"], json!({"method": "(none)", "header": {}}));
    assert_eq!((&value["url"]["original"], &value["malformed"]), (&json!("(none)"), &json!("method")));
}
