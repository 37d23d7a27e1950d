//! Where secrets are in targets.

use proptest::prelude::*;

use super::*;

/// Checks targets, in which `hunter2` is the secret.
fn check(cases: &[(&str, &str)]) {
    for (sent, expected) in cases {
        assert_eq!(target(&Redactor::default(), sent), *expected, "{sent}");
    }
}

#[test]
fn secret_parameters_are_known_by_name() {
    for name in [
        "token",
        "TOKEN",
        "to%6ben",
        "to%2Dken",
        "token%20",
        "token[]",
        "auth[]",
        "key[]",
        "user[pass]",
        "pass%00",
        "%ff%fftoken",
        "accessToken",
        "access%5Ftoken",
        "access+token",
        "api-key",
        "x-api-key",
        "pwd",
        "pswd",
        "pw",
        "passcode",
        "pin",
        "otp",
        "hmac",
        "sig",
        "jwt",
        "id_token",
        "credentials",
        "X-Amz-Credential",
        "Signature",
        "code",
        "auth_code",
        "authcode",
        "code_verifier",
        "ticket",
        "SAMLResponse",
        "assertion",
        "session",
        "sess",
        "session_key",
        "sid",
        "PHPSESSID",
        "oauth_nonce",
        "_csrf",
        "userPin",
        "token%20%20",
        "key1",
        "amp;sig",
        "appkey",
        "userpwd",
        "dbpass",
        "smsotp",
        "usersig",
        "sign",
        "cvv",
        "mfa",
        "connect.sid",
        "emailVerificationCode",
        "x_hmacsha256",
        "app_sign",
        "Bearer",
        "hdnts",
        "js_code",
        "sk",
        "tk",
        "tkt",
        "pgt",
        "tgt",
        "verify_code",
        "vcode",
        "ak",
    ] {
        let expected = format!("/a?x=1&{name}=•••&y=2");
        assert_eq!(target(&Redactor::default(), &format!("/a?x=1&{name}=hunter2&y=2")), expected);
    }
}

#[test]
fn harmless_parameters_are_shown() {
    for name in [
        "q",
        "id",
        "team",
        "x-team",
        "request_id",
        "author",
        "authority",
        "keyword",
        "keywords",
        "monkey",
        "turkey",
        "shipping",
        "opinion",
        "country_code",
        "zip_code",
        "status_code",
        "state",
        "sort_key",
        "cache_key",
        "key_id",
        "keyid",
        "session_timeout",
        "auth_type",
        "authuser",
        "design",
        "bypass_warning",
        "bypass",
        "turkey",
        "hotkey",
        "sortkey",
        "sign_type",
        "campaign",
        "promo_code",
        "potpourri",
        "passenger",
        "compass",
        "AccountSid",
        "ticket_id",
        "page[number]",
        "refresh",
        "login",
        "sku",
        "skip",
        "task",
        "sk_type",
        "stk",
        "js",
        "tick",
    ] {
        let sent = format!("/a?x=1&{name}=payments&y=2");
        assert_eq!(target(&Redactor::default(), &sent), sent);
    }
}

#[test]
fn a_secret_has_no_visible_tail() {
    check(&[
        ("/a?password=ab;hunter2", "/a?password=•••;•••"),
        ("/a?password=ab?hunter2", "/a?password=•••?•••"),
        ("/a?password=ab#hunter2", "/a?password=•••#•••"),
        ("/a?password=;hunter2=&x=1", "/a?password=;•••&x=1"),
        ("/a?password=ab%26hunter2&x=1", "/a?password=•••&x=1"),
        ("/a?password=ab=hunter2/x,y&x=1", "/a?password=•••&x=1"),
        ("/a?token=ab;sig=hunter2;team=x", "/a?token=•••;sig=•••;•••"),
        ("/a?token=a&team=payments", "/a?token=•••&team=payments"),
        ("/a;token=hunter2/b", "/a;token=•••"),
        ("/a;token=ab;hunter2&hunter2?q=1", "/a;token=•••;•••&•••?q=1"),
        ("/a;x;token=hunter2#f", "/a;x;token=•••#f"),
    ]);
}

#[test]
fn nested_targets_are_searched() {
    check(&[
        ("/a?next=/b?token=hunter2&x=1", "/a?next=/b?token=•••&x=1"),
        ("/a?next=/b%3Ftoken=hunter2&x=1", "/a?next=/b%3Ftoken=•••&x=1"),
        ("/a?next=%2Fb%3Ftoken%3Dhunter2&x=1", "/a?next=%2Fb%3Ftoken%3D•••&x=1"),
        ("/a?next=%2Fb%3Ftoken%3Dhunter2%26q%3D1&x=1", "/a?next=%2Fb%3Ftoken%3D•••%26q%3D1&x=1"),
        ("/a?next=%2Fb%3ftoken%3da%2526hunter2%26q%3D1", "/a?next=%2Fb%3ftoken%3d•••%26q%3D1"),
        (
            "/a?n=%252Fb%253Ftoken%253Dhunter2%2526q%253D1%26r",
            "/a?n=%252Fb%253Ftoken%253D•••%2526q%253D1%26r",
        ),
        ("/a?n=%25252Fb%25253Fcode%25253Dhunter2", "/a?n=%25252Fb%25253Fcode%25253D•••"),
        ("/a?key%3Dhunter2", "/a?key%3D•••"),
        ("/a?x=http://h/?token=hunter2", "/a?x=http://h/?token=•••"),
        ("/p%3Ftoken%3Dhunter2?x=1", "/p%3Ftoken%3D•••?x=1"),
        ("/a?apikey:hunter2", "/a?apikey:•••"),
        ("/a?q=password:hunter2&x=1", "/a?q=password:•••&x=1"),
        ("/a?q={%22password%22:%22hunter2%22}&x=1", "/a?q={%22password%22:•••&x=1"),
        ("/a?q=%7B%22pin%22%3A%20%22hunter2%22%7D&x=1", "/a?q=%7B%22pin%22%3A•••&x=1"),
        ("/a?q={login(password:%22hunter2%22)}", "/a?q={login(password:•••"),
        ("/a?x=%0d%0aAuthorization:%20hunter2", "/a?x=%0d%0aAuthorization:•••"),
    ]);
}

#[test]
fn user_information_is_hidden_wherever_an_authority_is() {
    check(&[
        ("//user:hunter2@h/a", "//•••@h/a"),
        ("HTTP://u:hunter2@h", "HTTP://•••@h"),
        ("http:u:hunter2@h", "•••@h"),
        ("http:\\\\u:hunter2@h", "http:\\\\•••@h"),
        ("a?token=hunter2&u=http://x@y", "a?token=•••&u=http://•••@y"),
        ("/a?u=http://user:hunter2@h/&x=1", "/a?u=http://•••@h/&x=1"),
        ("/a?u=//user:hunter2@h/", "/a?u=//•••@h/"),
        ("/a?u=http%3A%2F%2Fuser%3Ahunter2%40h%2F", "/a?u=http%3A%2F%2F•••%40h%2F"),
        ("/p/http://user:hunter2@h/", "/p/http://•••@h/"),
        ("/p/redis://:hunter2@h/0", "/p/redis://•••@h/0"),
        ("http://u:a@hunter2@h/", "http://•••@h/"),
        ("http://u:hunter2", "http://•••"),
        ("/a?u=http%3A%2F%2Fu%3Ahunter2", "/a?u=http%3A%2F%2F•••"),
        ("/a?proxy=u:hunter2@h:80&x=1", "/a?proxy=•••@h:80&x=1"),
        ("/a?proxy=u%3Ahunter2==%40h", "/a?proxy=•••%40h"),
        ("/a?next=/b%3Fproxy%3Du:hunter2@h&x=1", "/a?next=/b%3Fproxy%3D•••@h&x=1"),
        ("http://u:a/hunter2@h/b", "http://•••/•••@h/b"),
        ("http://u:a?hunter2#x@h/b@c", "http://•••?•••#•••@h/b@c"),
        ("http://u:a%2Fhunter2@h/b", "http://•••@h/b"),
        ("http://h/@scope/p", "http://h/@scope/p"),
        ("http://h:80/@scope/p", "http://h:80/@scope/p"),
        ("http://[::1]:80/@scope/p", "http://[::1]:80/@scope/p"),
        ("/a//b@c", "/a//b@c"),
        ("/a?mail=x@y", "/a?mail=x@y"),
        ("/a?mail=mailto:x@y", "/a?mail=mailto:x@y"),
        ("/a?image=nginx:1.25@sha256:abc", "/a?image=nginx:1.25@sha256:abc"),
        ("/npm:preact@10", "/npm:preact@10"),
        ("http://h:80", "http://h:80"),
        ("http://[::1]", "http://[::1]"),
        ("/a?u=http://h&mail=x@y", "/a?u=http://h&mail=x@y"),
    ]);
}

#[test]
fn tokens_and_credentials_are_known_by_their_form() {
    check(&[
        ("/a/eyJhbGciOiJub25lIn0.eyJzdWIi.hunter2/b", "/a/•••/b"),
        ("/a?x=eyJhbGciOiJub25lIn0.eyJzdWIi.hunter2&y=1", "/a?x=•••&y=1"),
        ("/a?x=v1-eyJhbGciOiJub25lIn0%2EeyJzdWIi.hunter2", "/a?x=v1-•••"),
        ("/a?state=eyJ0ZWFtIjoicGF5bWVudHMifQ", "/a?state=eyJ0ZWFtIjoicGF5bWVudHMifQ"),
        ("/keyJs.min.js", "/keyJs.min.js"),
        ("/a?x=Bearer%20hunter2&y=1", "/a?x=Bearer%20•••&y=1"),
        ("/a?x=bearer+hunter2&y=1", "/a?x=bearer+•••&y=1"),
        ("/a?x=Basic+dXNlcjpodW50ZXIy", "/a?x=Basic+•••"),
        ("/a?q=basic+research", "/a?q=basic+research"),
    ]);
}

#[test]
fn secret_segments_of_a_path_are_hidden() {
    check(&[
        ("/a/token/hunter2", "/a/token/•••"),
        ("/a/token/hunter2/b?x=1", "/a/token/•••/b?x=1"),
        ("/reset-password/hunter2?x=1", "/reset-password/•••?x=1"),
        ("/a?next=%2Fapi-key%2Fhunter2%2Fb&x=1", "/a?next=%2Fapi-key%2F•••%2Fb&x=1"),
        ("http://h/token/hunter2", "http://h/token/•••"),
        ("/a/session/hunter2/b", "/a/session/•••/b"),
        ("/user-sessions/hunter2", "/user-sessions/•••"),
        ("/account/reset/hunter2?x=1", "/account/reset/•••?x=1"),
        ("/Reset/hunter2", "/Reset/•••"),
        ("/a?next=%2Freset%2Fhunter2", "/a?next=%2Freset%2F•••"),
        ("/login/magic-link/hunter2", "/login/magic-link/•••"),
        ("/magic/hunter2", "/magic/•••"),
        ("/team/invite/hunter2", "/team/invite/•••"),
        ("/invites/hunter2", "/invites/•••"),
        ("/verify/hunter2", "/verify/•••"),
        ("/confirm/hunter2", "/confirm/•••"),
        ("/activate/hunter2", "/activate/•••"),
        ("/unsubscribe/hunter2", "/unsubscribe/•••"),
        ("/hooks/hunter2", "/hooks/•••"),
        ("/api/webhook/hunter2", "/api/webhook/•••"),
        ("/webhooks/hunter2", "/webhooks/•••"),
        ("/api/webhooks/4711/hunter2x?wait=true", "/api/webhooks/4711/•••?wait=true"),
        ("/a?next=%2Freset%2F4711%2Fhunter2", "/a?next=%2Freset%2F4711%2F•••"),
        ("/key/hunter2", "/key/•••"),
        ("/license/hunter2/check", "/license/•••/check"),
        ("/bot123:AAhunter2/getMe", "/bot123:•••/getMe"),
        ("/file/bot123:AAhunter2/a", "/file/bot123:•••/a"),
    ]);
}

#[test]
fn what_is_ordinary_in_a_target_is_shown() {
    for sent in [
        "*",
        "/",
        "/a/token/refresh",
        "/tokens",
        "/tokens?page=2",
        "/session",
        "/session/",
        "/session/new",
        "/sessions/4711",
        "/v1/session/v2/orders2024",
        "/hooks/github",
        "/webhooks/4711",
        "/books/orders2024",
        "/session.js",
        "/orders/4711/hunter2",
        "/sessions/4711/4712/hunter2",
        "/webhooks/4711/messages",
        "/keys/orders2024",
        "/reset/password",
        "/presets/orders2024",
        "/obsession/orders2024",
        "/resetting/orders2024",
        "https://session/orders2024",
        "/v1/tokens:revoke",
        "/api/v1/tokens/4711",
        "/token/v1/orders2024",
        "/auth/oauth2/authorize",
        "/robots/bot123/a:b",
        "https://token.example/orders2024",
        "/a?u=https://token.example/orders2024",
        "/?payments",
        "/a?login=u:payments",
        "/a?s=payments",
        "/a?t=12:30",
        "/a?u=https://token.example:8080/x",
        "h:443",
        "/a?next=%2Fb%3Fteam%3Dpayments",
        "/a%",
        "/a%2",
    ] {
        assert_eq!(target(&Redactor::default(), sent), sent);
    }
}

/// The ends of names of segments that a secret follows.
const NAMES: [&str; 12] = [
    "token",
    "tokens",
    "reset-password",
    "api-key",
    "session",
    "sessions",
    "sess",
    "reset",
    "magic-link",
    "activation",
    "confirmation",
    "verification",
];

/// Returns the separators of a target.
fn separators(target: &[u8]) -> Vec<u8> {
    target.iter().copied().filter(|byte| b"?#&;".contains(byte)).collect()
}

proptest! {
    #[test]
    fn what_looks_like_a_secret_is_hidden_in_a_segment_behind_its_name(
        before in "(/[a-z]{1,8}){0,2}/([a-z]{1,8}[-_.])?", name in prop::sample::select(&NAMES[..]), upper: bool,
        secret in "[a-z]{3}[0-9][A-Z]{2}[A-Za-z0-9_~-]{0,40}", behind in "(/[a-z]{1,4}){0,2}([?]page=[0-9])?",
    ) {
        let name = if upper { name.to_uppercase() } else { name.to_owned() };
        let sent = format!("{before}{name}/{secret}{behind}");
        prop_assert_eq!(target(&Redactor::default(), &sent), format!("{before}{name}/•••{behind}"));
    }

    #[test]
    fn what_looks_like_no_secret_is_shown_behind_any_segment(
        name in prop::sample::select(&NAMES[..]), next in "[a-z]{0,20}|[0-9]{1,20}|v[0-9]{1,3}", behind in "([?]page=[0-9]{1,9})?",
    ) {
        for sent in [format!("/a/{name}{behind}"), format!("/{name}/{next}{behind}")] {
            prop_assert_eq!(target(&Redactor::default(), &sent), sent);
        }
    }

    #[test]
    fn redaction_shows_pieces_of_the_target_and_all_separators(
        sent in "([a-c@/?#&;=:+%. \"]|%2[56fF]|%3[dD]|%40|token|sig|://|eyJ|basic ){0,40}"
    ) {
        let (mut shown, mut at) = (Vec::new(), 0);
        Redactor::default().target(sent.as_bytes(), &mut |part| if let Part::Shown(bytes) | Part::Plain(bytes) = part {
            at += sent[at..].find(std::str::from_utf8(bytes).unwrap()).unwrap() + bytes.len();
            shown.extend_from_slice(bytes);
        });
        prop_assert_eq!(separators(&shown), separators(sent.as_bytes()));
    }
}
