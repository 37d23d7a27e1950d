//! The places of an HTTP request where credentials are known to stand, and those where no secret does. A random word at
//! one of the former reaches no output; at one of the latter it always does.

mod lists;

use jiff::tz::TimeZone;
use proptest::{prelude::*, sample::select};

use lists::{
    FIELDS, MALFORMED, ORDINARY, PREVIEWS, REFERENCES, SECRET_FIELDS, SECRET_PARAMETERS, SEGMENTS, TARGETS,
    VALUES,
};

use super::*;
use crate::{
    event::Event,
    http::NotHttp,
    pipeline::{Sink, connection::Connection},
    print::{
        json::Json,
        tests::first_request,
        text::{Layout, Text},
    },
    segment::tests::segment,
};

/// A word that occurs nowhere else in the output.
const WORD: &str = "[g-z][a-zA-Z0-9]{7,15}[0-9]";

fn heads() -> impl Strategy<Value = String> {
    let named =
        (select(TARGETS), select(SECRET_PARAMETERS)).prop_map(|(target, name)| target.replace("{N}", name));
    let target = prop_oneof![3 => named, 1 => select(VALUES).prop_map(str::to_owned), 1 => select(SEGMENTS).prop_map(str::to_owned)].boxed();
    let field = prop_oneof![select(SECRET_FIELDS), select(FIELDS)].prop_map(str::to_owned);
    let reference = (select(REFERENCES), target.clone()).prop_map(|(name, target)| {
        let begins_like_one = target.starts_with(['/', 'h', 'H']);
        format!("{}: {target}", if begins_like_one { name } else { "Referer" })
    });
    prop_oneof![
        target.prop_map(|target| format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n")),
        prop_oneof![field, reference].prop_map(|field| format!("GET / HTTP/1.1\r\n{field}\r\n\r\n")),
        select(MALFORMED).prop_map(|head| format!("{head}\r\n\r\n")),
    ]
}

/// Returns what the printers write, as text and as JSON.
fn outputs(event: &Event<'_>) -> [Vec<u8>; 2] {
    let connection = Connection::new(1, &segment(1, 0, b""));
    let mut text = Text::new(Vec::new(), Redactor::default(), Layout::of_day(TimeZone::UTC));
    let mut json = Json::new(Vec::new(), Redactor::default(), String::new(), Box::new(|_| None), None);
    text.event(&connection, event);
    json.event(&connection, event);
    text.lines().flush().unwrap();
    json.lines().flush().unwrap();
    [text.lines().writer().clone(), json.lines().writer().clone()]
}

/// Returns `bytes` as they are, without their escapes, and percent-decoded up to three times.
fn readings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut readings = vec![bytes.to_vec()];
    for _ in 0..3 {
        let unescaped = decode(readings.last().unwrap(), b"\\x");
        readings.push(decode(&unescaped, b"%"));
        readings.push(unescaped);
    }
    readings
}

/// Replaces `prefix` and two digits by the byte that they encode.
fn decode(bytes: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((first, next)) = rest.split_first() {
        let digits = rest.strip_prefix(prefix).and_then(|rest| rest.get(..2));
        let byte = digits.and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = byte.map_or(next, |_| &rest[prefix.len() + 2..]);
    }
    decoded
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

fn print_request(head: &str) -> [Vec<u8>; 2] {
    let request = first_request(head.as_bytes(), 0);
    outputs(&Event::Request(&request))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_secret_reaches_no_output(head in heads(), word in WORD) {
        for output in print_request(&head.replace("{S}", &word)) {
            for reading in readings(&output) {
                prop_assert!(!contains(&reading, &word), "{}", String::from_utf8_lossy(&output));
            }
        }
    }

    #[test]
    fn no_part_of_a_secret_reaches_an_output(
        target in select(TARGETS),
        name in select(SECRET_PARAMETERS),
        words in prop::collection::vec(WORD, 2..4),
        separator in select(&["-", "_", ".", "/", "=", "==", ":", ",", "+", "~", "@", "$", "%2F", "%3D"][..]),
    ) {
        let secret = words.join(separator);
        let target = target.replace("{N}", name).replace("{S}", &secret);
        for output in print_request(&format!("GET {target} HTTP/1.1\r\nReferer: {target}\r\n\r\n")) {
            for reading in readings(&output) {
                for word in &words {
                    prop_assert!(!contains(&reading, word), "{}", String::from_utf8_lossy(&output));
                }
            }
        }
    }

    #[test]
    fn an_unencoded_secret_has_no_visible_tail(
        target in select(&TARGETS[..3]),
        name in select(SECRET_PARAMETERS),
        words in prop::collection::vec(WORD, 2..4),
        separator in select(&[";", "?", "#", ";=", "?x=", "%26", "%3B", "%2526"][..]),
    ) {
        let secret = words.join(separator);
        let target = target.replace("{N}", name).replace("{S}", &secret);
        for output in print_request(&format!("GET {target} HTTP/1.1\r\nReferer: {target}\r\n\r\n")) {
            for word in &words {
                prop_assert!(!contains(&output, word), "{}", String::from_utf8_lossy(&output));
            }
        }
    }

    #[test]
    fn user_information_is_no_output(
        target in select(&VALUES[..8]),
        words in prop::collection::vec(WORD, 2..4),
        separator in select(&["-", ".", ":", "@", "/", "?", ";", "!", "%2F", "%40", "%3A"][..]),
    ) {
        let target = target.replace("{S}", &words.join(separator));
        for output in print_request(&format!("GET {target} HTTP/1.1\r\nReferer: {target}\r\n\r\n")) {
            for word in &words {
                prop_assert!(!contains(&output, word), "{target}: {}", String::from_utf8_lossy(&output));
            }
        }
    }

    #[test]
    fn basic_credentials_are_no_output(word in WORD, field in select(&["Authorization", "X-Original"][..])) {
        let sent = base64(format!("user:{word}").as_bytes());
        for output in print_request(&format!("GET /a?x=Basic+{sent} HTTP/1.1\r\n{field}: Basic {sent}\r\n\r\n")) {
            prop_assert!(!contains(&output, sent.trim_end_matches('=')), "{}", String::from_utf8_lossy(&output));
        }
    }

    #[test]
    fn a_preview_has_no_secret(preview in select(PREVIEWS), word in WORD) {
        let preview = preview.replace("{S}", &word);
        for output in outputs(&Event::NotHttp { reason: NotHttp::Other, preview: preview.as_bytes() }) {
            prop_assert!(readings(&output).iter().all(|reading| !contains(reading, &word)));
        }
    }

    #[test]
    fn an_ordinary_word_is_always_printed(head in select(ORDINARY), word in WORD) {
        for output in print_request(&format!("{}\r\n\r\n", head.replace("{S}", &word))) {
            prop_assert!(contains(&output, &word), "{}", String::from_utf8_lossy(&output));
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| (bits << 8) | usize::from(*chunk.get(at).unwrap_or(&0)));
        let digit =
            |at| if at > chunk.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * at)) & 63]) };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
