//! A list of rules, as in a file: one on each line. What follows a `#` is a comment.

use std::io::{self, BufRead, Read as _};

use thiserror::Error;
use toa_common::limits::{MAX_PREFIXES, MAX_RULES};

use super::{Rule, RuleError};

/// Maximum length of a line, in bytes.
const MAX_LINE: usize = 1024;

/// Maximum number of rules: as many as a run can watch.
const MAX_LISTED: usize = (MAX_RULES + MAX_PREFIXES) as usize;

/// Why a list cannot be read.
#[derive(Debug, Error)]
pub enum ListError {
    /// The input failed.
    #[error("cannot read the rules")]
    Input(#[from] io::Error),
    /// A line is wrong.
    #[error("line {number}: {error}")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong.
        error: LineError,
    },
}

/// Why a line cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LineError {
    /// It is not a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// It has too many bytes.
    #[error("longer than {MAX_LINE} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// There are too many rules before it.
    #[error("more than {MAX_LISTED} rules")]
    TooMany,
}

/// Reads rules to the end of `input`. If a line is wrong, there are none.
pub fn read(mut input: impl BufRead) -> Result<Vec<Rule>, ListError> {
    let (mut rules, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(rules);
        }
        number += 1;
        let parsed = match parse(&line) {
            Ok(Some(_)) if rules.len() == MAX_LISTED => Err(LineError::TooMany),
            parsed => parsed,
        };
        rules.extend(parsed.map_err(|error| ListError::Line { number, error })?);
    }
}

/// Returns the rule of a line, if it has one.
fn parse(line: &[u8]) -> Result<Option<Rule>, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| LineError::NotText)?;
    let text = line.split('#').next().unwrap_or_default().trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(char::is_control) {
        // This error escapes what it quotes.
        return Err(RuleError::Syntax { text: text.to_owned() }.into());
    }
    Ok(Some(text.parse()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &[u8]) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_list_has_a_rule_on_each_line_and_comments() {
        let text =
            "# payments\n203.0.113.9\n\n  203.0.113.0/24  # their office\r\n[2001:db8::7]:443\n:80\nany";
        let rules: Vec<_> = read(text.as_bytes()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(rules, ["203.0.113.9", "203.0.113.0/24", "[2001:db8::7]:443", ":80", "any"]);
        assert!(read(&b""[..]).unwrap().is_empty());
    }

    #[test]
    fn the_first_wrong_line_is_named() {
        let long = [b"#".repeat(MAX_LINE + 1), b"\n".to_vec()].concat();
        for (text, reason) in [
            (&b"any\n\n300.1.2.3\nx\n"[..], "line 3: \"300.1.2.3\" is not a rule"),
            (b"# a\nclient.example", "line 2: \"client.example\" is a host name"),
            (b"203.0.113.9 203.0.113.10", "line 1: \"203.0.113.9 203.0.113.10\" is not a rule"),
            (b":80\x1b[31m", "line 1: \":80\\u{1b}[31m\" is not a rule"),
            (b"any\n\xff\n", "line 2: not UTF-8"),
            (&long, "line 1: longer than 1024 bytes"),
        ] {
            let error = error(text);
            assert!(error.starts_with(reason), "{error}");
        }
        let many = "any\n".repeat(MAX_LISTED);
        assert_eq!(read(many.as_bytes()).unwrap().len(), MAX_LISTED);
        assert!(error((many + "# no rule\nany\n").as_bytes()).ends_with("more than 147456 rules"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_rules_or_one_error(bytes: Vec<u8>) {
            if let Err(error) = read(&bytes[..]) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }
}
