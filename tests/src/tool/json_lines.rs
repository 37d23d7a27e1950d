//! Parses the tool's JSON Lines: requests with their bytes and marks, other events, and the ledger.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http_rows::sent_head::Fields;

/// A request as it was printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JsonRequest {
    /// The method.
    pub method: Vec<u8>,
    /// The target.
    pub target: Vec<u8>,
    /// The version.
    pub version: Option<Vec<u8>>,
    /// The fields.
    pub fields: Fields,
    /// Why it is incomplete.
    pub incomplete: Option<String>,
    /// Its other marks, such as `resynchronized`.
    pub marks: Vec<&'static str>,
}

/// The marks other than `incomplete`.
const MARKS: [&str; 7] = [
    "malformed",
    "resynchronized",
    "reopened",
    "possibly_unread",
    "conflicting",
    "framing_fault",
    "unknown_fields",
];

impl JsonRequest {
    /// Returns whether nothing warns of it.
    pub fn is_unmarked(&self) -> bool {
        self.incomplete.is_none() && self.marks.is_empty()
    }

    fn read(object: &Value) -> Result<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let header = object.pointer("/http/request/header").and_then(Value::as_object).context("header")?;
        let mut fields = Fields::new();
        for (name, values) in header {
            let values = values.as_array().context("values")?.iter();
            let values = values.map(|value| unescape(value.as_str().context("value")?));
            fields.insert(unescape(name)?, values.collect::<Result<_>>()?);
        }
        let is_marked =
            |mark: &&str| !matches!(object.get(*mark), None | Some(Value::Null | Value::Bool(false)));
        Ok(Self {
            method: unescape(text("/http/request/method").context("method")?)?,
            target: unescape(text("/url/original").context("target")?)?,
            version: text("/network/protocol/version").map(unescape).transpose()?,
            fields,
            incomplete: text("/incomplete/cause").map(str::to_owned),
            marks: MARKS.into_iter().filter(is_marked).collect(),
        })
    }
}

/// The events of one connection.
#[derive(Clone, Debug, Default)]
pub struct JsonConnection {
    /// Its requests in order.
    pub requests: Vec<JsonRequest>,
    /// Its gaps in bytes.
    pub gaps: Vec<u64>,
    /// What was printed instead of requests: `tls`, or why the stream is not HTTP.
    pub others: Vec<String>,
}

/// All of an output.
#[derive(Clone, Debug, Default)]
pub struct JsonLines {
    /// The connections by the balancer's port.
    pub connections: BTreeMap<u16, JsonConnection>,
    /// The counts of the ledger that are not zero, by their names.
    pub remarks: BTreeMap<String, u64>,
}

impl JsonLines {
    /// Parses an output.
    pub fn parse(output: &str) -> Result<Self> {
        let mut lines = Self::default();
        for line in output.lines() {
            lines.add(line).with_context(|| line.to_owned())?;
        }
        Ok(lines)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let object: Value = serde_json::from_str(line)?;
        let event = object.get("event").and_then(Value::as_str).context("event")?;
        if event == "ledger" {
            let remarks = object.get("remarks").and_then(Value::as_object).context("remarks")?;
            for (name, remark) in remarks {
                let count = remark.get("count").and_then(Value::as_u64).context("count")?;
                if count > 0 {
                    self.remarks.insert(name.clone(), count);
                }
            }
            return Ok(());
        }
        // It is about the run, not about a connection.
        if event == "loss" {
            return Ok(());
        }
        let port = object.pointer("/network/peer/port").and_then(Value::as_u64).context("port")?;
        let connection = self.connections.entry(port.try_into()?).or_default();
        let reason = object.pointer("/connection/reason").and_then(Value::as_str);
        let is_open = object.pointer("/connection/state").and_then(Value::as_str) == Some("open");
        match (event, reason) {
            ("request", _) => connection.requests.push(JsonRequest::read(&object)?),
            ("gap", _) => {
                connection.gaps.push(object.pointer("/gap/bytes").and_then(Value::as_u64).context("bytes")?);
            }
            ("tls", _) => connection.others.push(event.to_owned()),
            ("connection", Some(reason)) if is_open => connection.others.push(reason.to_owned()),
            ("connection" | "conflict", _) => {}
            _ => bail!("unknown event"),
        }
        Ok(())
    }
}

/// Returns the bytes of an escaped text: `\xHH` is a byte, and `\\` a backslash.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let byte = match (first, behind) {
            (b'\\', [b'\\', ..]) => {
                rest = behind.get(1..).unwrap_or_default();
                b'\\'
            }
            (b'\\', [b'x', high, low, ..]) => {
                rest = behind.get(3..).unwrap_or_default();
                u8::from_str_radix(str::from_utf8(&[*high, *low])?, 16)?
            }
            (b'\\', _) => bail!("a backslash alone: {text}"),
            _ => *first,
        };
        bytes.push(byte);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_bytes_are_recovered() {
        assert_eq!(unescape("a\\xcb\\\\x41é").unwrap(), b"a\xcb\\x41\xc3\xa9");
        assert!(unescape("\\n").is_err());
    }

    #[test]
    fn events_are_collected_by_connection() {
        let request = r#"{"event":"request","network":{"peer":{"port":7},"protocol":{"version":"1.1"}},
            "http":{"request":{"method":"GET","header":{"x":["a","\\x01"]}}},"url":{"original":"/"},
            "incomplete":{"gap_bytes":0,"cause":"end"},"malformed":null,"resynchronized":true}"#;
        let output = [
            &request.replace('\n', ""),
            r#"{"event":"gap","network":{"peer":{"port":7}},"gap":{"bytes":9}}"#,
            r#"{"event":"connection","network":{"peer":{"port":8}},"connection":{"state":"open","reason":"other"}}"#,
            r#"{"event":"connection","network":{"peer":{"port":8}},"connection":{"state":"closed","reason":"end"}}"#,
            r#"{"event":"ledger","remarks":{"a":{"count":2},"b":{"count":0}}}"#,
        ];
        let lines = JsonLines::parse(&output.join("\n")).unwrap();
        let connection = &lines.connections[&7];
        assert_eq!((&connection.gaps[..], connection.requests.len()), (&[9][..], 1));
        let request = &connection.requests[0];
        assert_eq!(
            (request.incomplete.as_deref(), &request.marks[..]),
            (Some("end"), &["resynchronized"][..])
        );
        assert_eq!(request.fields[&b"x"[..]], [b"a".to_vec(), vec![1]]);
        assert!(!request.is_unmarked());
        assert_eq!(lines.connections[&8].others, ["other"]);
        assert_eq!(lines.remarks, [("a".to_owned(), 2)].into());
    }
}
