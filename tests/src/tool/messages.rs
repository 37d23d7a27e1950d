//! Messages on stderr with `-o json`, as the text that they are otherwise.

use serde_json::Value;

/// Returns what is on stderr as text. Lines that are no messages stay as they are.
pub fn as_text(stderr: &str) -> String {
    let line = |line: &str| message(line).unwrap_or_else(|| line.to_owned());
    stderr.split_inclusive('\n').map(line).collect()
}

fn message(line: &str) -> Option<String> {
    let object: Value = serde_json::from_str(line).ok()?;
    let text = object.get("message")?.as_str()?;
    let level = match object.get("level")?.as_str()? {
        level @ ("debug" | "trace") => format!("{level}: "),
        _ => String::new(),
    };
    Some(format!("toa-tc: {level}{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_text() {
        let stderr =
            "{\"level\":\"debug\",\"message\":\"a\"}\n{\"level\":\"info\",\"message\":\"b\"}\ntoa-tc: c\n{";
        assert_eq!(as_text(stderr), "toa-tc: debug: a\ntoa-tc: b\ntoa-tc: c\n{");
    }
}
