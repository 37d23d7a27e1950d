//! The first look at a value, which must not miss what the scan of it hides.

use proptest::{prelude::*, sample::select};

use super::*;

/// Pieces of values that matter for one of the rules.
const PIECES: [&str; 36] = [
    "=",
    ":",
    "/",
    "//",
    "?",
    "&",
    ";",
    "#",
    "@",
    "%",
    "%3D",
    "%2f",
    "+",
    " ",
    "\t",
    ",",
    "(",
    "{",
    "\"",
    "\\",
    "eyJ",
    "J",
    ".",
    "token",
    "pass",
    "key",
    "api",
    "Bearer",
    "Basic",
    "a",
    "Z9",
    "8f14e45fceea",
    "http",
    "bot12",
    "reset-password",
    "ü",
];

/// Checks that a value in which something is hidden is not missed, and that it is always printed the same way.
fn check(redactor: &Redactor, value: &str, is_target: bool) {
    let kind = if is_target { Kind::Target } else { Kind::of(value.as_bytes()) };
    let scanned = shown(|part| value::split(value.as_bytes(), kind, &[], &mut |piece| part(piece)));
    let content = redactor.content(value.as_bytes(), kind);
    assert!(scanned == value || matches!(content, Content::Doubtful), "{value} {scanned}");
    // What was found out is remembered as it was found.
    for _ in 0..2 {
        let name: &[u8] = if is_target { b"referer" } else { b"x" };
        let printed = shown(|part| redactor.field(name).value(value.as_bytes(), &mut |piece| part(piece)));
        assert_eq!(printed, scanned);
    }
}

#[test]
fn no_short_value_is_missed_at_first_sight() {
    let pieces =
        ["=", ":", "//", "\\", "+", " ", ",", "\"", "token", "Bearer", "a", "bot12", "reset/8f14e45fceea"];
    let redactor = Redactor::default();
    let mut values = vec![String::new()];
    for _ in 0..5 {
        values = values.iter().flat_map(|value| pieces.map(|piece| format!("{value}{piece}"))).collect();
        for value in &values {
            check(&redactor, value, true);
            check(&redactor, value, false);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn nothing_that_the_scan_hides_is_missed_at_first_sight(
        pieces in prop::collection::vec(select(&PIECES[..]), 0..12),
        is_target in any::<bool>(),
    ) {
        check(&Redactor::default(), &pieces.concat(), is_target);
    }
}
