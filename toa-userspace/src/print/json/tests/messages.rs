use log::Level;

use super::*;
use crate::{
    ledger::losses::{Losses, REASONS},
    print::json::message::{About, Message, Process, RuleChange, User},
};

/// Returns the line of a message as an object, after checking it against the schema.
fn line(level: Level, text: &str, about: About<'_>) -> Value {
    let line = Message { level, text, about }.line(TIME_NS, "web-17");
    let (line_feed, line) = line.split_last().unwrap();
    assert!(*line_feed == b'\n' && !line.contains(&b'\n'));
    let value = serde_json::from_slice(line).unwrap();
    if let Err(error) = schema().validate(&value) {
        panic!("{error} at {}: {value}", error.instance_path());
    }
    value
}

#[test]
fn a_message_is_one_line_with_its_level() {
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let names = ["error", "warning", "info", "debug", "trace"];
    for (level, name) in levels.into_iter().zip(names) {
        let expected = json!({
            "event": "message", "timestamp": "2026-11-22T07:43:27.123456789Z", "host": {"name": "web-17"},
            "level": name, "message": "several runs:\n  \"a\"",
            "interface": null, "loss": null, "rule_change": null
        });
        assert_eq!(line(level, "several runs:\n  \"a\"", About::default()), expected);
    }
}

#[test]
fn a_message_says_what_it_is_about() {
    let loss = Losses::default().until([7; REASONS], 10).next().unwrap();
    let rule_change = RuleChange {
        action: "added",
        count: 2,
        rules: vec!["192.0.2.1", ":80"],
        process: Process { pid: 4711 },
        user: User { id: 1000, name: None },
    };
    let about = About { interface: Some("eth0"), loss: Some(&loss), rule_change: Some(&rule_change) };
    let value = line(Level::Info, "attached to eth0 (tcx, first), 1 rule", about);
    assert_eq!(value["interface"], json!({"name": "eth0"}));
    let fields = json!({"reason": "ring_full", "count": 7, "seconds": 10, "option": "--ring-size"});
    assert_eq!(value["loss"], fields);
    let change = json!({
        "action": "added", "count": 2, "rules": ["192.0.2.1", ":80"], "process": {"pid": 4711},
        "user": {"id": 1000, "name": null}
    });
    assert_eq!(value["rule_change"], change);
}
