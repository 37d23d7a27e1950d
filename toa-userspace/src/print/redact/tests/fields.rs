//! Where secrets are in fields.

use super::*;

/// Checks fields, in which `hunter2` is the secret.
fn check(cases: &[(&str, &str, &str)]) {
    for (name, sent, expected) in cases {
        assert_eq!(value(&Redactor::default(), name, sent), *expected, "{name}: {sent}");
    }
}

#[test]
fn secret_fields_are_known_by_name() {
    for name in [
        "X-Authorization",
        "X-Forwarded-Authorization",
        "Authorization-X",
        "Authorisation",
        "X-Auth",
        "X-Auth-Token",
        "X-Authentication",
        "Authentication",
        "X-OAuth",
        "X-Session",
        "X-Session-Id",
        "X-Sid",
        "X-Key",
        "X-Api-Key",
        "ApiKey",
        "X-Ssl-Client-Key",
        "X-Pass",
        "X-Password",
        "X-Pwd",
        "X-Pin",
        "X-Otp",
        "X-Passcode",
        "X-Hmac",
        "X-Signature",
        "X-WSSE",
        "Sec-WebSocket-Protocol",
        "X-Vault-Token",
        "X-Goog-Iap-Jwt-Assertion",
        "X-Forwarded-Access-Token",
        "X-Amzn-Oidc-Data",
        "X-MS-Client-Principal",
        "DPoP",
        "Secret",
        "X-Credentials",
        "X-Bearer",
        "Bearer",
        "Macaroon",
        "Grpc-Metadata-Macaroon",
        "X-Csrf",
        "Jenkins-Crumb",
        "X-Access",
        "X-AppKey",
        "X-Github-Otp",
        "X-Honeycomb-Team",
        "X-Mfa",
        "X-Sign",
        "X-Api-Sign",
        "X-Shopify-Hmac-Sha256",
        "X-Ticket",
        "Js_Code",
        "X-User-Ticket",
        "X-Ya-Service-Ticket",
        "X-Ovh-Consumer",
        "X-Sk",
        "X-Tk",
        "X-Verification-Code",
        "Tls-UserSig",
    ] {
        assert_eq!(value(&Redactor::default(), name, "hunter2"), "••• (redacted)", "{name}");
    }
}

#[test]
fn harmless_fields_are_shown() {
    for name in [
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Accept-Signature",
        "X-Team",
        "X-Request-Id",
        "X-Author",
        "X-Authority",
        "X-Keyword",
        "X-Monkey",
        "X-Bypass",
        "X-Country-Code",
        "X-Design",
        "X-Client-Id",
        "X-Forwarded-For",
        "X-Real-Ip",
        "Via",
        "X-Shipping",
        "X-Sku",
        "X-Task",
        "X-Amz-Cf-Id",
        "X-Auth-Request-Email",
        "X-Auth-User",
        "X-Authenticated-User",
        "X-MS-Client-Principal-Name",
        "X-Amzn-Oidc-Identity",
        "Idempotency-Key",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Surrogate-Key",
        "X-Requested-With",
        "From",
        "If",
    ] {
        assert_eq!(value(&Redactor::default(), name, "payments"), "payments", "{name}");
    }
}

#[test]
fn credentials_show_their_scheme() {
    check(&[
        ("Authorization", "Basic\thunter2", "••• (redacted)"),
        ("Authorization", "hunter2 Basic", "••• (redacted)"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=hunter2", "AWS4-HMAC-SHA256 ••• (redacted)"),
        ("Authorization", "Digest username=\"u\", response=\"hunter2\"", "Digest ••• (redacted)"),
        ("AUTHORIZATION", "Token token=\"hunter2\"", "Token ••• (redacted)"),
        ("X-Original", "Bearer hunter2", "Bearer •••"),
        ("X-Original", "a, bearer hunter2", "a, bearer •••"),
        ("X-Original", "Basic dXNlcjpodW50ZXIy", "Basic •••"),
        ("X-Original", "Digest username=\"u\", response=\"hunter2\"", "Digest •••"),
        ("X-A", "b   Authorization: hunter2", "b   Authorization:•••"),
        ("X-A", "token: hunter2", "token:•••"),
        ("X-Team", "Basic Research", "Basic Research"),
        ("X-Team", "Token Services", "Token Services"),
        ("X-Team", "Key Accounts", "Key Accounts"),
    ]);
}

#[test]
fn cookies_show_their_names() {
    check(&[
        ("Cookie", "a=hunter2; b=\"hunter2\"; hunter2", "a=•••; b=•••; •••"),
        ("Cookie", "a=hunter2,b=hunter2", "a=•••"),
        ("Cookie", "a=\"x;hunter2=1\"; b=c", "a=•••; b=•••"),
        ("Cookie", "aHVudGVyMg==; b=c", "•••; b=•••"),
        ("Cookie2", "hunter2", "•••"),
        ("X-Cookie", "sid=hunter2", "sid=•••"),
        ("X-Forwarded-Cookie", "sid=hunter2", "sid=•••"),
        ("Set-Cookie", "sid=hunter2; Path=/; HttpOnly", "sid=•••; Path=•••; •••"),
    ]);
}

#[test]
fn fields_that_carry_targets_are_searched() {
    for name in [
        "Referer",
        "Referrer",
        "X-Forwarded-Uri",
        "X-Forwarded-Url",
        "X-Original-Uri",
        "X-Original-Url",
        "X-Rewrite-Url",
        "X-Request-Uri",
        "Location",
        "Destination",
        "Origin",
        "X-Team",
    ] {
        check(&[
            (name, "/a?token=hunter2&x=1", "/a?token=•••&x=1"),
            (name, "https://u:hunter2@h/a?code=hunter2&x=1", "https://•••@h/a?code=•••&x=1"),
            (name, "https://h/a?u=https://u:hunter2@h/", "https://h/a?u=https://•••@h/"),
            (name, "a?token=hunter2&u=http://x@y", "a?token=•••&u=http://•••@y"),
        ]);
    }
    check(&[
        ("Link", "</a?token=hunter2>; rel=next", "</a?token=•••;•••"),
        ("SOAPAction", "\"/login?password=hunter2\"", "\"/login?password=•••"),
        ("SOAPAction", "\"urn:a@b#Op\"", "\"urn:a@b#Op\""),
        ("X-Original-Request", "GET /a?token=hunter2 HTTP/1.1", "GET /a?token=•••"),
        ("Host", "u:hunter2@h:80", "•••@h:80"),
        ("Forwarded", "for=10.0.0.1;host=u:hunter2@h", "for=10.0.0.1;host=•••@h"),
        ("X-Proxy", "u:hunter2@h:80", "•••@h:80"),
        ("Referer", "about:blank", "about:blank"),
        ("Host", "token.example:8080", "token.example:8080"),
    ]);
}

#[test]
fn secrets_in_other_fields_are_known_by_their_form() {
    check(&[
        ("X-Team", "eyJhbGciOiJub25lIn0.eyJzdWIi.hunter2", "•••"),
        ("X-Team", "a=b, eyJhbGciOiJub25lIn0.eyJzdWIi.hunter2, c", "a=b, •••, c"),
        ("X-Team", "password=hunter2; x", "password=•••;•••"),
        ("X-Team", "a password  = hunter2", "a password  =•••"),
        ("X-Team", "{\"pin\" : \"hunter2\"}", "{\"pin\" :•••"),
        ("X-Team", r#"{\"pin\":\"hunter2\"}"#, r#"{\"pin\":•••"#),
        ("X-Team", "{\"team\":\"x\",\"pin\":\"hunter2\"}", "{\"team\":\"x\",\"pin\":•••"),
        ("X-Team", "user=a; pass=hunter2", "user=a; pass=•••"),
        ("X-Team", "Cookie: sid=hunter2", "Cookie:•••"),
        ("X-Team", "x Session-Id: hunter2", "x Session-Id:•••"),
        ("Baggage", "team=payments,sessionId=hunter2", "team=payments,sessionId=•••"),
    ]);
    for (name, shown) in [
        ("Accept", "text/html;q=0.9,application/vnd.key+json;q=0.8"),
        ("Content-Type", "multipart/form-data; boundary=----x"),
        ("Access-Control-Request-Headers", "authorization,x-token"),
        ("From", "alice@example.com"),
        ("From", "mailto:alice@example.com"),
        ("From", "contact:alice@example.com"),
        ("User-Agent", "Basic HttpClient/4.5.13 (Java/17.0.2)"),
        ("X-Forwarded-For", "10.0.0.1, 2001:db8::1"),
        ("Cache-Control", "max-age=0, no-transform"),
        ("Sec-Ch-Ua", "\"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\""),
        ("X-Image", "nginx:1.25@sha256:abc"),
        ("User-Agent", "payments-bot/1.0 (+https://example.com/bot; mailto:ops@example.com)"),
        ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
        ("X-Error", "code=500; key=value"),
        ("If", "(<opaquelocktoken:payments>)"),
        ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; rv:109.0) Gecko/20100101"),
    ] {
        check(&[(name, shown, shown)]);
    }
}
