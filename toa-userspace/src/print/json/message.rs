//! The lines of stderr as JSON, fields in the order in which they are written.

use log::Level;
use serde::Serialize;

use super::{
    event::LossFields,
    value::{Host, Time, json},
};
use crate::ledger::losses::Loss;

/// A line of stderr.
#[derive(Debug)]
pub struct Message<'a> {
    /// How serious it is.
    pub level: Level,
    /// What text has after `toa-tc:`.
    pub text: &'a str,
    /// What it is about.
    pub about: About<'a>,
}

/// What a message is about, as far as a program may want more than its text.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// The interface.
    pub interface: Option<&'a str>,
    /// The loss.
    pub loss: Option<&'a Loss>,
    /// The change of the rules.
    pub rule_change: Option<&'a RuleChange<'a>>,
}

/// A change of the rules by another process.
#[derive(Debug, Serialize)]
pub struct RuleChange<'a> {
    /// `added` or `removed`.
    pub action: &'static str,
    /// How many rules.
    pub count: u64,
    /// The first of them.
    pub rules: Vec<&'a str>,
    /// The process, in its own PID namespace.
    pub process: Process,
    /// The user.
    pub user: User<'a>,
}

/// A process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Process {
    /// Its ID.
    pub pid: u32,
}

/// A user.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct User<'a> {
    /// The ID.
    pub id: u32,
    /// The name, if there is one.
    pub name: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    level: &'static str,
    message: &'a str,
    interface: Option<Interface<'a>>,
    loss: Option<LossFields>,
    rule_change: Option<&'a RuleChange<'a>>,
}

#[derive(Serialize)]
struct Interface<'a> {
    name: &'a str,
}

impl Message<'_> {
    /// Returns the line, as of `time_ns` nanoseconds since the Unix epoch.
    pub fn line(&self, time_ns: u64, host_name: &str) -> Vec<u8> {
        let Self { level, text, about } = self;
        let mut line = json(&Line {
            event: "message",
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            level: name(*level),
            message: text,
            interface: about.interface.map(|name| Interface { name }),
            loss: about.loss.map(Into::into),
            rule_change: about.rule_change,
        });
        line.push(b'\n');
        line
    }
}

/// Returns the name of a level, as the schema has it.
fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
