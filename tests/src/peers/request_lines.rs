//! A log of nginx that has request lines byte for byte.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};

use crate::tool::json_lines::unescape;

/// Its format. nginx escapes quotes, backslashes and all bytes that are not printable ASCII as `\xHH`.
pub(super) const FORMAT: &str = r"$remote_addr\t$remote_port\t$status\t$request";

/// A line of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedLine {
    /// The sender.
    pub peer: SocketAddr,
    /// The status of the answer.
    pub status: u16,
    /// The request line, empty if nginx has not read it.
    pub line: Vec<u8>,
}

/// Parses a log.
pub(super) fn parse(log: &str) -> Result<Vec<LoggedLine>> {
    log.lines().map(|line| parse_line(line).with_context(|| format!("log: {line}"))).collect()
}

fn parse_line(line: &str) -> Result<LoggedLine> {
    let mut fields = line.splitn(4, '\t');
    let mut next = || fields.next().context("a field is missing");
    Ok(LoggedLine {
        peer: SocketAddr::new(next()?.parse::<IpAddr>()?, next()?.parse()?),
        status: next()?.parse()?,
        line: unescape(next()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_bytes_that_were_sent() {
        let logged =
            parse("10.9.0.1\t4242\t400\tGET /\\x5C\\xCB a HTTP/1.1\n10.9.0.1\t4243\t200\t\n").unwrap();
        assert_eq!(logged[0].line, b"GET /\\\xcb a HTTP/1.1");
        assert_eq!((logged[0].peer, logged[0].status), ("10.9.0.1:4242".parse().unwrap(), 400));
        assert!(logged[1].line.is_empty());
        assert!(parse("10.9.0.1\t4242\t400").is_err());
    }
}
