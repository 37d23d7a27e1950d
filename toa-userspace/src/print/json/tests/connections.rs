//! The events of a connection other than requests.

use super::*;
use crate::http::{Endpoint, ProxyHeader};

#[test]
fn a_connection_tells_its_states() {
    let mut connection = connection();
    (connection.first_ns, connection.last_ns) = (TIME_NS, TIME_NS + 1_000_000_000);
    let mut json = printer(Redactor::default());
    json.event(&connection, &Event::Opened);
    json.event(&connection, &Event::Gap { bytes: 1448 });
    json.event(&connection, &Event::Conflict { bytes: 8 });
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        json.event(&connection, &Event::Proxy(version));
    }
    for reason in [NotHttp::Http2, NotHttp::Upgrade, NotHttp::Connect, NotHttp::Other] {
        json.event(&connection, &Event::NotHttp { reason, preview: b"\x16\x03\xff\"\\ok" });
    }
    for reason in [Closed::Fin, Closed::Rst, Closed::Idle, Closed::Evicted, Closed::Finished] {
        json.event(&connection, &Event::Closed(reason));
    }
    let lines = lines(&mut json);
    let opened = json!({"id": "abcdef-3", "state": "open", "reason": null, "preview": null});
    assert_eq!(lines[0]["connection"], opened);
    assert_eq!(lines[0]["timestamp"], "2026-11-22T07:43:27.123456789Z");
    assert_eq!(lines[1]["gap"], json!({"bytes": 1448}));
    assert_eq!(lines[1]["timestamp"], "2026-11-22T07:43:28.123456789Z");
    assert_eq!(lines[2]["conflict"], json!({"bytes": 8}));
    let proxy = json!({"id": "abcdef-3", "state": "open", "reason": "proxy-v1", "preview": null});
    assert_eq!(lines[3]["connection"], proxy);
    let preview = r#"\x16\x03\xff"\\ok"#;
    let http2 = json!({"id": "abcdef-3", "state": "open", "reason": "http2", "preview": preview});
    assert_eq!(lines[5]["connection"], http2);
    let reset = json!({"id": "abcdef-3", "state": "closed", "reason": "rst", "preview": null});
    assert_eq!(lines[10]["connection"], reset);
    for line in &lines {
        assert_eq!(line["client"], json!({"address": "120.120.111.111", "port": 44208}));
        assert_eq!(line["network"]["interface"]["name"], "eth0");
        assert_eq!(line["network"]["protocol"], Value::Null);
    }
}

#[test]
fn a_tls_client_is_told_by_what_it_says_in_clear() {
    let hello = ClientHello {
        server_name: Some(b"api.example".to_vec()),
        alpn: vec![b"h2".to_vec(), b"\x0a\x0a".to_vec()],
        is_cut: false,
    };
    let mut json = printer(Redactor::default());
    json.event(&connection(), &Event::Tls(&hello));
    json.event(&connection(), &Event::Tls(&ClientHello::default()));
    let lines = lines(&mut json);
    let told = json!({"client": {"server_name": "api.example", "alpn": ["h2", r"\x0a\x0a"]}});
    assert_eq!((&lines[0]["event"], &lines[0]["tls"]), (&json!("tls"), &told));
    assert_eq!(lines[1]["tls"], json!({"client": {"server_name": null, "alpn": []}}));
}

#[test]
fn a_request_in_tls_says_so() {
    let mut json = printer(Redactor::default());
    let request = request(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let hello = ClientHello { server_name: Some(b"api\"example".to_vec()), ..ClientHello::default() };
    let mut in_tls = connection();
    in_tls.is_decrypted = true;
    let mut greeted = in_tls.clone();
    greeted.hello = Some(Box::new(hello));
    for connection in [&connection(), &in_tls, &greeted] {
        json.event(connection, &Event::Request(&request));
    }
    let lines = lines(&mut json);
    let told: Vec<_> = lines.iter().map(|line| (&line["tls"], &line["tls_client"])).collect();
    let (none, client) = (json!(null), json!({"server_name": "api\"example", "alpn": []}));
    assert_eq!(told, [(&none, &none), (&json!(true), &none), (&json!(true), &client)]);
}

#[test]
fn a_preview_shows_no_secret_unless_wanted() {
    for (redactor, preview) in
        [(Redactor::default(), "AUTH•••"), (Redactor::show_secrets(), r"AUTH hunter2\x0d\x0a")]
    {
        let mut json = printer(redactor);
        let event = Event::NotHttp { reason: NotHttp::Other, preview: b"AUTH hunter2\r\n" };
        json.event(&connection(), &event);
        assert_eq!(lines(&mut json)[0]["connection"]["preview"], preview);
    }
}

#[test]
fn a_proxy_header_is_told_with_its_client_and_endpoint() {
    let mut connection = connection();
    connection.begin_with(ProxyHeader {
        version: ProxyVersion::V2,
        client: Some("[2001:db8::7]:5000".parse().unwrap()),
        endpoint: Some(Endpoint { provider: "azure", id: b"305419896".to_vec() }),
        is_malformed: false,
    });
    let mut json = printer(Redactor::default());
    json.event(&connection, &Event::Proxy(ProxyVersion::V2));
    let expected = json!({
        "version": 2,
        "client": {"address": "2001:db8::7", "port": 5000},
        "endpoint": {"provider": "azure", "id": "305419896"},
    });
    assert_eq!(lines(&mut json)[0]["proxy"], expected);
}
