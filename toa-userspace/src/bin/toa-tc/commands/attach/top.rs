//! A run that fills the terminal with its table.

use std::future::pending;

use anyhow::Result;
use toa_common::config::Config;
use toa_userspace::{print::count::Count, rule::Rule};

use crate::{
    cli::{attach::AttachArgs, results::Shown},
    stdout::Stdout,
    top::{self, Session, Top},
};

/// Most rules that are named.
const MAX_RULES: usize = 3;

/// Takes over the terminal, if the command is `top`.
pub(super) fn open(
    args: &AttachArgs,
    rules: &[Rule],
    config: &Config,
    stdout: &Stdout,
) -> Result<Option<(Session, Top)>> {
    if args.results.shown != Shown::Top {
        return Ok(None);
    }
    let interfaces: Vec<_> = args.interfaces.iter().map(ToString::to_string).collect();
    let title = format!("{}: {}", interfaces.join(", "), watched(rules, config));
    top::open(title, stdout.try_clone()?).map(Some)
}

/// Says which clients a run watches.
fn watched(rules: &[Rule], config: &Config) -> String {
    match rules {
        [] if config.follows_any() => "every connection, with or without TOA".to_owned(),
        [Rule::Any] => "every client with TOA".to_owned(),
        _ => {
            let named = rules.iter().take(MAX_RULES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            match rules.len().saturating_sub(MAX_RULES) {
                0 => named,
                more => format!("{named} and {} more", Count::from(more)),
            }
        }
    }
}

/// Waits until a key asks for the end of the run.
pub(super) async fn quit(session: Option<&mut Session>) {
    match session {
        Some(session) => session.quit().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rules_are_named() {
        let watched = |rules: &[&str]| {
            let rules: Vec<_> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
            watched(&rules, &Config::DEFAULT)
        };
        assert_eq!(watched(&["any"]), "every client with TOA");
        assert_eq!(watched(&["203.0.113.9", ":80"]), "203.0.113.9, :80");
        assert_eq!(watched(&[":1", ":2", ":3", ":4", ":5"]), ":1, :2, :3 and 2 more");
    }
}
