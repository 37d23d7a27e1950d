//! What toa-tc reads from a capture.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::tool::toa_tc::{self, NOTHING_FOUND};

use crate::request::{Ends, Host, Request, comparable};

/// What toa-tc prints for a capture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ours {
    pub(crate) requests: Vec<Request>,
    /// The marks of each request, such as `incomplete`.
    pub(crate) marks: Vec<BTreeSet<String>>,
    /// The followed connections of each pair of ends, and their clients.
    pub(crate) connections: BTreeMap<Ends, BTreeMap<String, Value>>,
    /// Connections of which a line says that they are not HTTP.
    pub(crate) other: BTreeSet<Ends>,
    /// What the ledger counts besides the sums: the names of the counts, with the clients that they name as examples and
    /// whether these are all.
    pub(crate) remarks: BTreeMap<String, (Vec<Value>, bool)>,
    /// Whether the ledger says that bytes are missing.
    pub(crate) lacks_bytes: bool,
    /// The error after which the capture was not read any further.
    pub(crate) failure: Option<String>,
    /// What was said on stderr.
    pub(crate) said: String,
}

impl Ours {
    /// Reads a capture.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let mut command = Command::new(toa_tc::binary()?);
        command.arg("read").arg(file).args(["--any-flow", "-o", "json", "--show-secrets"]);
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        ensure!(matches!(code, Some(0 | 1 | NOTHING_FOUND)), "{command:?}: {}: {said}", output.status);
        let mut ours = Self::parse(&String::from_utf8(output.stdout)?)?;
        ours.failure = (code == Some(1)).then(|| said.lines().last().unwrap_or_default().to_owned());
        ours.said = said;
        Ok(ours)
    }

    /// Parses what toa-tc prints as JSON.
    pub(crate) fn parse(lines: &str) -> Result<Self> {
        let mut ours = Self::default();
        for line in lines.lines() {
            let event: Value = serde_json::from_str(line)?;
            ours.add(&event).with_context(|| line.to_owned())?;
        }
        Ok(ours)
    }

    fn add(&mut self, event: &Value) -> Result<()> {
        match event.get("event").and_then(Value::as_str) {
            Some("request") => {
                let text = |pointer| event.pointer(pointer).and_then(Value::as_str).map(comparable);
                let is_set = |mark: &&str| {
                    event.get(mark).is_some_and(|value| !value.is_null() && *value != Value::Bool(false))
                };
                let marks = [
                    "incomplete",
                    "malformed",
                    "resynchronized",
                    "reopened",
                    "possibly_unread",
                    "framing_fault",
                ];
                let mut marks: BTreeSet<_> = marks.into_iter().filter(is_set).map(str::to_owned).collect();
                // That only the client is in doubt is no matter of HTTP.
                let conflict = event.get("conflicting").and_then(Value::as_str);
                marks.extend(conflict.filter(|it| it.contains("bytes")).map(|_| "conflicting".to_owned()));
                self.requests.push(Request {
                    ends: ends(event)?,
                    method: text("/http/request/method").context("no method")?,
                    target: text("/url/original").context("no target")?,
                    host: Host::Known(text("/http/request/header/host/0")),
                });
                self.marks.push(marks);
            }
            Some("connection") => {
                // Examples of the ledger name the sender of a connection whose client nothing names.
                let client = event.get("client").filter(|client| !client.is_null());
                let client = client.or_else(|| event.pointer("/network/peer")).context("no peer")?.clone();
                let id = event.pointer("/connection/id").and_then(Value::as_str).context("no id")?;
                self.connections.entry(ends(event)?).or_default().insert(id.to_owned(), client);
                if !event.pointer("/connection/preview").context("no preview")?.is_null() {
                    self.other.insert(ends(event)?);
                }
            }
            Some("tls") => _ = self.other.insert(ends(event)?),
            Some("ledger") => self.account(event)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes over what the ledger counts.
    fn account(&mut self, ledger: &Value) -> Result<()> {
        let is_counted =
            |pointer| ledger.pointer(pointer).and_then(Value::as_u64).is_some_and(|count| count > 0);
        self.lacks_bytes = ["/gaps/count", "/bytes/cut", "/incomplete"].into_iter().any(is_counted);
        for (name, remark) in ledger.get("remarks").and_then(Value::as_object).context("no remarks")? {
            let count = remark.get("count").and_then(Value::as_u64).context("no count")?;
            let clients = remark.get("clients").and_then(Value::as_array).context("no clients")?;
            if count > 0 {
                let are_all = count <= clients.len() as u64;
                self.remarks.insert(name.clone(), (clients.clone(), are_all));
            }
        }
        Ok(())
    }

    /// Returns the names of the counts that may be of this connection.
    pub(crate) fn remarks_of(&self, ends: Ends) -> impl Iterator<Item = &str> {
        let own = self.connections.get(&ends);
        let concerns = move |(clients, are_all): &(Vec<Value>, bool)| {
            let is_named = |own: &BTreeMap<_, _>| own.values().any(|client| clients.contains(client));
            clients.is_empty() || !are_all || own.is_some_and(is_named)
        };
        self.remarks.iter().filter(move |(_, remark)| concerns(remark)).map(|(name, _)| name.as_str())
    }
}

/// Returns the ends of the connection of an event: not the client's, but those in its packets.
fn ends(event: &Value) -> Result<Ends> {
    let end = |pointer: &str| -> Result<(IpAddr, u16)> {
        let end = event.pointer(pointer).context("an end is missing")?;
        let address = end.get("address").and_then(Value::as_str).context("no address")?.parse()?;
        let port = end.get("port").and_then(Value::as_u64).context("no port")?.try_into()?;
        Ok((address, port))
    };
    Ok(Ends { client: end("/network/peer")?, server: end("/server")? })
}
