mod fields;
mod glance;
mod places;
mod targets;

use super::*;

fn shown(cut: impl FnOnce(&mut dyn FnMut(Part<'_>))) -> String {
    let mut text = Vec::new();
    cut(&mut |part| match part {
        Part::Shown(bytes) | Part::Plain(bytes) => text.extend_from_slice(bytes),
        Part::Hidden(mask) => text.extend_from_slice(mask.as_bytes()),
    });
    String::from_utf8(text).unwrap()
}

fn target(redactor: &Redactor, target: &str) -> String {
    shown(|part| redactor.target(target.as_bytes(), &mut |piece| part(piece)))
}

fn value(redactor: &Redactor, name: &str, value: &str) -> String {
    shown(|part| redactor.field(name.as_bytes()).value(value.as_bytes(), &mut |piece| part(piece)))
}

#[test]
fn secret_fields_are_hidden() {
    let redactor = Redactor::default().with_name("X-Team-Pin");
    for (name, sent, expected) in [
        ("Authorization", "Bearer abc.def", "Bearer ••• (redacted)"),
        ("proxy-authorization", "basic dXNlcjpwYXNz", "basic ••• (redacted)"),
        ("authorization", "hunter2", "••• (redacted)"),
        ("authorization", "hunter2 and more", "••• (redacted)"),
        ("authorization", "", ""),
        ("Cookie", "sid=abc; lang=en;x", "sid=•••; lang=•••; •••"),
        ("cookie", "a=b=c", "a=•••"),
        ("X-API-Key", "abc", "••• (redacted)"),
        ("x_apikey", "abc", "••• (redacted)"),
        ("x-csrf-token", "abc", "••• (redacted)"),
        ("x-client-secret", "abc", "••• (redacted)"),
        ("x-amz-security-token", "abc", "••• (redacted)"),
        ("x-team-pin", "1234", "••• (redacted)"),
        ("X-Auth-Key", "abc", "••• (redacted)"),
        (&"x".repeat(129), "abc", "••• (redacted)"),
        ("x-team", "payments", "payments"),
        ("host", "key", "key"),
        ("Referer", "https://u:p@a/b?token=abc&x=1", "https://•••@a/b?token=•••&x=1"),
    ] {
        assert_eq!(value(&redactor, name, sent), expected, "{name}");
    }
}

#[test]
fn secret_parameters_are_hidden() {
    let redactor = Redactor::default().with_name("pin");
    for (sent, expected) in [
        ("/orders?id=7", "/orders?id=7"),
        ("/a?token=abc", "/a?token=•••"),
        ("/a?x=1&Access_Token=abc&y=2#f", "/a?x=1&Access_Token=•••&y=2#f"),
        ("/a?api-key=abc;sig=1", "/a?api-key=•••;sig=•••"),
        ("/a?%74oken=abc", "/a?%74oken=•••"),
        ("/a?token=a?b=c", "/a?token=•••?•••"),
        ("/a?X-Amz-Signature=abc&X-Amz-Date=1", "/a?X-Amz-Signature=•••&X-Amz-Date=1"),
        ("/a?keys=1&monkey=2&key=3", "/a?keys=1&monkey=2&key=•••"),
        ("/a;jsessionid=abc/b", "/a;jsessionid=•••"),
        ("/a?token=", "/a?token="),
        ("/a?token", "/a?token"),
        ("/a?&&=1&", "/a?&&=1&"),
        ("/a#access_token=abc", "/a#access_token=•••"),
        ("/a?pin=1", "/a?pin=•••"),
        ("http://user:pass@host/p@q?a=b", "http://•••@host/p@q?a=b"),
        ("user:pass@host:443", "•••@host:443"),
        ("host:443", "host:443"),
        ("*", "*"),
    ] {
        assert_eq!(target(&redactor, sent), expected);
    }
}

#[test]
fn secrets_where_no_secret_belongs_are_hidden() {
    let redactor = Redactor::default().with_name("pin");
    for (sent, expected) in [
        ("X-Team", "X-Team"),
        ("x_team", "x_team"),
        ("team payments", "team payments"),
        ("Authorization", "Authorization"),
        ("Authorization hunter2", "Authorization •••"),
        ("Cookie\tsid=hunter2; a=b", "Cookie •••"),
        ("Pin hunter2", "Pin •••"),
        ("Authorization=hunter2 a", "Authorization=•••"),
        ("x Bearer hunter2", "x Bearer •••"),
        ("user=a&password=hunter2&x=1", "user=a&password=•••&•••"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIi.hunter2", "•••"),
    ] {
        assert_eq!(redactor.field(sent.as_bytes()).name(), expected.as_bytes());
        assert_eq!(Redactor::show_secrets().field(sent.as_bytes()).name(), sent.as_bytes());
    }
    for (sent, expected) in [
        ("GET", "GET"),
        ("M-SEARCH", "M-SEARCH"),
        ("GET/a?token=hunter2", "GET/a?token=•••"),
        ("user=a&password=hunter2GET", "user=a&password=•••"),
    ] {
        assert_eq!(shown(|part| redactor.method(sent.as_bytes(), &mut |piece| part(piece))), expected);
    }
}

#[test]
fn little_is_shown_of_what_is_not_known() {
    for (sent, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-•••"),
        ("AUTH hunter2\r\n", "AUTH•••"),
        ("*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n", "*2•••"),
        ("\x10\x1e\0\x04MQTT\x04\0user", "\x10\x1e\0\x04MQTT•••"),
        ("\r\nhunter2", "•••"),
        ("pw=hunter2", "pw•••"),
        ("u:hunter2", "u•••"),
        ("12345678", "12345678"),
        ("a b", "a•••"),
        ("", ""),
    ] {
        let shown_of =
            |redactor: &Redactor| shown(|part| redactor.preview(sent.as_bytes(), &mut |piece| part(piece)));
        assert_eq!(shown_of(&Redactor::default()), expected, "{sent:?}");
        assert_eq!(shown_of(&Redactor::show_secrets()), sent);
    }
}

#[test]
fn secrets_are_shown_on_demand() {
    let redactor = Redactor::show_secrets();
    assert_eq!(value(&redactor, "authorization", "Bearer abc"), "Bearer abc");
    assert_eq!(target(&redactor, "/a?token=abc"), "/a?token=abc");
}
