//! Reports changes of the rules by other processes.

use std::{convert::Infallible, fmt, future::pending, time::Duration};

use log::Level;
use toa_common::rule_change::{ChangeRecord, kind};
use toa_userspace::{
    live::runs::pins::Pins,
    print::{
        count::{Count, plural},
        escape::Escaped,
        json::message::{About, Process, RuleChange, User},
    },
};
use tokio::time::sleep;

use crate::stderr;

/// The interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reports on stderr what other processes change, after each interval.
pub(crate) async fn report_rule_changes(pins: Option<&Pins>) -> Infallible {
    let Some(pins) = pins else {
        // No process can find the run.
        return pending().await;
    };
    let mut reported = 0;
    loop {
        sleep(INTERVAL).await;
        // Somebody may have removed the pins. Then other processes do not find the run.
        let Ok(info) = pins.info() else {
            continue;
        };
        if info.rule_changes == reported {
            continue;
        }
        let Ok(changes) = pins.changes(reported..info.rule_changes) else {
            continue;
        };
        let unknown = info.rule_changes.saturating_sub(reported).saturating_sub(changes.len() as u64);
        reported = info.rule_changes;
        if unknown > 0 {
            stderr::info(format_args!("the rules were changed {} before this", plural(unknown, "time")));
        }
        for change in &changes {
            let rule_change = fields(change);
            let about = About { rule_change: Some(&rule_change), ..About::default() };
            stderr::message(Level::Info, format_args!("{}", Described(change)), about);
        }
        if changes.last().is_some_and(|change| change.total == 0) {
            stderr::warning(format_args!("nothing is watched now: add a client with toa-tc watch add IP"));
        }
    }
}

/// Returns what JSON has of a change.
fn fields(change: &ChangeRecord) -> RuleChange<'_> {
    RuleChange {
        action: action(change),
        count: change.count,
        rules: change.rules().collect(),
        process: Process { pid: change.pid },
        user: User { id: change.user, name: change.user_name() },
    }
}

fn action(change: &ChangeRecord) -> &'static str {
    if change.kind == kind::ADDED { "added" } else { "removed" }
}

/// A change as text.
struct Described<'a>(&'a ChangeRecord);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(change) = self;
        match change.count {
            1 => f.write_str("rule")?,
            count => write!(f, "{} rules", Count(count))?,
        }
        let verb = action(change);
        write!(f, " {verb} by process {} of user ", change.pid)?;
        match change.user_name() {
            Some(name) => write!(f, "{}", Escaped(name.as_bytes()))?,
            None => write!(f, "{}", change.user)?,
        }
        let mut shown = 0;
        for rule in change.rules() {
            write!(f, "{} {}", if shown == 0 { ":" } else { "," }, Escaped(rule.as_bytes()))?;
            shown += 1;
        }
        match change.count.saturating_sub(shown) {
            0 => Ok(()),
            more if shown == 0 => write!(f, ": {}", Count(more)),
            more => write!(f, " and {} more", Count(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_who_made_it_and_the_rules() {
        let mut change = ChangeRecord::new(kind::ADDED, 4711, 1000);
        change.add_rule("120.120.111.111");
        assert_eq!(
            Described(&change).to_string(),
            "rule added by process 4711 of user 1000: 120.120.111.111"
        );
        change.set_user_name("root");
        change.kind = kind::REMOVED;
        for number in 0..1233 {
            change.add_rule(&format!("2001:db8:1111:2222:3333:4444:5555:{number:x}"));
        }
        let text = Described(&change).to_string();
        let begin = "1,234 rules removed by process 4711 of user root: 120.120.111.111, 2001:db8:";
        assert!(text.starts_with(begin) && text.ends_with(" and 1,227 more"), "{text}");
        let fields = fields(&change);
        assert_eq!((fields.action, fields.count, fields.rules.len()), ("removed", 1234, 7));
        assert_eq!((fields.process.pid, fields.user.id, fields.user.name), (4711, 1000, Some("root")));
    }
}
