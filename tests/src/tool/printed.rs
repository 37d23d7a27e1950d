//! Parses the tool's text output.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::peers::client::Connection;

/// A request as it was printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Printed {
    /// The interface, which is printed if there may be several.
    pub interface: Option<String>,
    /// The real client.
    pub client: SocketAddr,
    /// The server's side of the connection.
    pub server: SocketAddr,
    /// The balancer's side of the connection.
    pub via: SocketAddr,
    /// `GET` or another method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What the reader should know before believing it, such as `resynchronized`.
    pub marks: Vec<String>,
    /// The header fields in order.
    pub fields: Vec<(String, String)>,
}

/// What identifies a request on either side: client, balancer's side, server's side, method, target, request
/// id and team.
pub type Row = (SocketAddr, SocketAddr, SocketAddr, String, String, String, String);

impl Printed {
    /// Returns the value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns what identifies it.
    pub fn row(&self) -> Row {
        let field = |name| self.field(name).unwrap_or_default().to_owned();
        let (id, team) = (field("x-request-id"), field("x-team"));
        (self.client, self.via, self.server, self.method.clone(), self.target.clone(), id, team)
    }

    /// Parses the first line: time, perhaps an interface, client, `>`, server, `(via`, balancer`)`, method, target, version, and any number of
    /// marks in brackets.
    fn parse(line: &str) -> Result<Self> {
        let mut parts = line.split(" [");
        // An address in brackets also follows a space.
        let is_mark = |part: &&str| part.ends_with(']');
        let marks: Vec<_> =
            parts.clone().filter(is_mark).map(|part| part.trim_end_matches(']').to_owned()).collect();
        let line: Vec<_> = parts.by_ref().filter(|part| !is_mark(part)).collect();
        let line = line.join(" [");
        let words: Vec<_> = line.split(' ').collect();
        let (interface, words) = match &words[..] {
            [_time, interface, rest @ ..] if rest.len() == 8 => (Some((*interface).to_owned()), rest),
            [_time, rest @ ..] => (None, rest),
            [] => (None, &[][..]),
        };
        let [client, ">", server, "(via", via, method, target, version] = words[..] else {
            anyhow::bail!("not the words of a request");
        };
        ensure!(version.starts_with("HTTP/1.") || version == "HTTP/2", "no version");
        Ok(Self {
            interface,
            client: client.parse().context("client")?,
            server: server.parse().context("server")?,
            via: via.strip_suffix(')').context("via")?.parse().context("via")?,
            method: method.to_owned(),
            target: target.to_owned(),
            marks,
            fields: Vec::new(),
        })
    }
}

/// Parses all requests of an output.
pub fn parse(output: &str) -> Result<Vec<Printed>> {
    let mut requests: Vec<Printed> = Vec::new();
    for line in output.lines().filter(|line| !line.is_empty()) {
        if let Some(field) = line.strip_prefix("    ") {
            let (name, value) = field.split_once(':').with_context(|| format!("no field: {line}"))?;
            let request = requests.last_mut().with_context(|| format!("a field of nothing: {line}"))?;
            request.fields.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
        } else {
            requests.push(Printed::parse(line).with_context(|| format!("no request: {line}"))?);
        }
    }
    Ok(requests)
}

/// Returns what must be printed of a connection whose real client is `client`.
pub fn rows_of(client: SocketAddr, connection: &Connection) -> Vec<Row> {
    let server = connection.server();
    let row = |request: &crate::peers::client::Request| {
        let value = |name| request.value(name).unwrap_or_default().to_owned();
        let (method, target) = (request.method.clone(), request.target.clone());
        (client, connection.local(), server, method, target, value("x-request-id"), value("x-team"))
    };
    connection.sent().iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /orders?id=7 HTTP/1.1
    host: api.example
    x-team: payments
    authorization: Bearer ••• (redacted)
12:01:02.5 [2001:db8::7]:1 > [fd00::2]:80 (via [fd00::1]:2) POST / HTTP/1.0 [resynchronized] [incomplete: gap of 1,448 bytes]
    empty:
";

    #[test]
    fn the_documented_text_is_read() {
        let requests = parse(OUTPUT).unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].client, "120.120.111.111:44208".parse().unwrap());
        assert_eq!(requests[0].via, "10.9.0.1:37608".parse().unwrap());
        assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("GET", "/orders?id=7"));
        assert_eq!(requests[0].field("x-team"), Some("payments"));
        assert_eq!(requests[0].fields.len(), 3);
        assert_eq!(requests[1].server, "[fd00::2]:80".parse().unwrap());
        assert_eq!(requests[1].marks, ["resynchronized", "incomplete: gap of 1,448 bytes"]);
        assert_eq!(requests[1].field("empty"), Some(""));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(parse("    field: of nothing\n").is_err());
        assert!(parse("hello\n").is_err());
    }
}
