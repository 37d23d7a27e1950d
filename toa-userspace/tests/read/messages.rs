//! With `-o json`, every line on stderr is an object of the schema, too.

use serde_json::Value;

use super::{File, Result, capture, text, tool};

const SCHEMA: &str = include_str!("../../schema/toa-tc.schema.json");

/// Returns the levels and texts of the messages on stderr, each of which must conform to the schema.
fn messages(stderr: &[u8]) -> Result<Vec<(String, String)>> {
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA)?)?;
    let message = |line: &str| {
        let object: Value = serde_json::from_str(line)?;
        schema.validate(&object).map_err(|error| format!("{error}: {line}"))?;
        let of = |name| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(of("event"), "message");
        Ok((of("level"), of("message")))
    };
    text(stderr).lines().map(message).collect()
}

#[test]
fn the_end_of_a_run_is_messages_with_the_same_text() -> Result {
    let file = File::new("messages", &capture())?;
    let lines = text(&file.read(&["-v"])?.stderr);
    let lines: Vec<_> = lines.lines().map(|line| line.strip_prefix("toa-tc: ").unwrap_or(line)).collect();
    assert!(lines.len() > 3, "{lines:?}");
    let output = file.read(&["-v", "-o", "json"])?;
    let messages = messages(&output.stderr)?;
    assert_eq!(messages.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), lines);
    assert!(messages.iter().all(|(level, _)| level == "info"), "{messages:?}");
    Ok(())
}

#[test]
fn a_name_of_a_file_cannot_control_the_terminal() -> Result {
    let name = "/no/such/\u{1b}[31m\u{9b}m\u{202e}file";
    let expected = r"cannot open /no/such/\u{1b}[31m\u{9b}m\u{202e}file: ";
    let output = tool().args(["read", name]).output()?;
    assert!(text(&output.stderr).contains(expected), "{output:?}");
    let output = tool().args(["read", "-o", "json", name]).output()?;
    assert!(!text(&output.stderr).contains(['\u{9b}', '\u{202e}']), "{output:?}");
    let messages = messages(&output.stderr)?;
    assert!(matches!(&messages[..], [(_, text)] if text.starts_with(expected)), "{messages:?}");
    Ok(())
}

#[test]
fn failures_are_messages_and_only_what_cannot_be_parsed_is_text() -> Result {
    let output = tool().args(["read", "-o", "json", "/no/such/file"]).output()?;
    let messages_of = messages(&output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        matches!(&messages_of[..], [(level, text)] if level == "error" && text.starts_with("cannot open /no/such/file: ")),
        "{messages_of:?}"
    );
    // Found after the command line was parsed.
    let output = tool().args(["read", "-o", "json", "-", "--rules", "-"]).output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(messages(&output.stderr)?.len(), 1);
    let output = tool().args(["read", "-o", "json", "--nonsense"]).output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).starts_with("toa-tc: "), "{output:?}");
    Ok(())
}
