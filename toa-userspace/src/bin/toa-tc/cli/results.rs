//! The options for printing requests, for every source of packets.

use clap::{Args, ValueEnum};
use glob::Pattern;
use regex::bytes::{Regex, RegexBuilder};
use toa_userspace::print::group_by::GroupBy;

use super::number::number;

#[derive(Args, Debug)]
pub(crate) struct ResultArgs {
    /// Output format
    ///
    /// [default: text]
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_default_value = true)]
    pub(crate) output: Format,

    /// Print only these header fields, such as host or 'x-*'
    ///
    /// Names, or quoted patterns. Can be repeated.
    #[arg(long = "header", value_name = "NAME")]
    pub(crate) headers: Vec<Pattern>,

    /// Do not print these header fields
    ///
    /// Can be repeated.
    #[arg(long = "not-header", value_name = "NAME", hide_short_help = true)]
    pub(crate) not_headers: Vec<Pattern>,

    /// Print only requests whose head matches
    ///
    /// A regular expression of the regex crate. It is matched with the head as it was sent, before
    /// secrets are redacted; ^ and $ match at lines, and (?i) ignores case.
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    pub(crate) grep: Option<Regex>,

    /// Print only the first request of each client, path or value of a header field
    ///
    /// Or of each combination, such as client,header:x-team.
    #[arg(long, value_name = "KEYS", hide_short_help = true)]
    pub(crate) once_by: Option<GroupBy>,

    /// At the end, print a table by client, path or header
    ///
    /// Requests and connections by client, path or value of a header field, or by combinations, such as client,header:x-team.
    /// Can be repeated.
    #[arg(long, value_name = "KEYS")]
    pub(crate) summary_by: Vec<GroupBy>,

    /// Print times in this form [default: the local time of day]
    #[arg(long, value_enum, value_name = "FORM", hide_short_help = true)]
    pub(crate) time: Option<Time>,

    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t = Color::Auto,
        hide_short_help = true,
        help = "Color text; auto does so on a terminal, unless NO_COLOR is set"
    )]
    pub(crate) color: Color,

    /// Also redact header fields and parameters of this name
    ///
    /// Can be repeated.
    #[arg(long, value_name = "NAME", value_parser = secret_name, hide_short_help = true)]
    pub(crate) redact: Vec<String>,

    /// Print secrets (authorization, cookies, ...) unredacted
    #[arg(long, conflicts_with = "redact", hide_short_help = true)]
    pub(crate) show_secrets: bool,

    /// What is printed, which is up to the command
    #[arg(skip)]
    pub(crate) shown: Shown,

    /// Stop after printing this many requests
    #[arg(short = 'c', value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
}

/// Parses a name. A pattern would match nothing, and what it was meant for would be printed.
fn secret_name(text: &str) -> Result<String, &'static str> {
    if text.contains('*') {
        Err("patterns are not possible: repeat --redact for each name")
    } else {
        Ok(text.to_owned())
    }
}

fn count(text: &str) -> Result<u64, String> {
    number(text, 1..=u64::MAX)
}

/// What a command prints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Shown {
    /// Requests, and then the tables.
    #[default]
    Requests,
    /// The tables, first of all that of the clients.
    Clients,
    /// The tables, and the first one also while it grows, on the whole terminal.
    Top,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// One line per request, followed by one per header field
    Text,
    /// One line per request, with the fields of --header as name=value
    Oneline,
    /// JSON Lines: one object per request, connection event and gap; the last line has the counts
    Json,
}

/// The form of times in text.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Time {
    /// Date, local time and offset
    Local,
    /// Date and time in UTC
    Utc,
    /// Seconds since 1970
    Epoch,
    /// Seconds since the line before
    Delta,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    Always,
    Never,
}

/// Parses a regular expression for heads, whose lines end with CRLF.
fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).multi_line(true).crlf(true).build().map_err(|error| {
        // The error shows the expression on several lines; the last one says what is wrong with it.
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
