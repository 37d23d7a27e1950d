//! A balancer's table of connections, which names the clients of connections that are already open.
//!
//! Two forms of lines are read. The second has no server side:
//!
//! ```text
//! [1]tcp 90s TCP_EST 203.0.113.9:54321 198.51.100.10:80 10.9.0.1:37608 10.9.0.2:80    DPVS, ipvsadm -lnc
//! 203.0.113.9:54321 10.9.0.1:37608                                                    CLIENT LOCAL
//! ```
//!
//! A line of DPVS has lcore and protocol, timeout, state, client, virtual address, local address and server. *Local* is
//! the balancer's: the server sees it as its peer.

use std::{
    io::{self, BufRead, Read as _},
    net::SocketAddr,
};

use thiserror::Error;

pub mod matching;

/// Maximum length of a line, in bytes. The longest that DPVS writes has about 220.
const MAX_LINE: usize = 1024;

/// An open connection of the balancer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The real client.
    pub client: SocketAddr,
    /// The balancer's side of its connection to the server.
    pub local: SocketAddr,
    /// The server's side, if the line names it.
    pub server: Option<SocketAddr>,
}

/// Why a line is neither an entry nor passed over.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LineError {
    /// Another number of columns than either form has.
    #[error("neither a line of ipvsadm -lnc nor CLIENT LOCAL")]
    Columns,
    /// A column that should be an address and port.
    #[error("not an address and port: {0}")]
    Address(&'static str),
    /// More bytes than a line may have.
    #[error("longer than {MAX_LINE} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
}

/// A line that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrongLine {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes, or the first of them.
    pub bytes: Vec<u8>,
    /// Why it could not be read.
    pub error: LineError,
}

/// How many lines of a table there were. Empty lines and comments are not counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lines {
    /// Entries of open TCP connections.
    pub entries: u64,
    /// Entries of other protocols, and of connections that the balancer is closing.
    pub others: u64,
    /// Lines that could not be read.
    pub wrong: u64,
    /// The first of these.
    pub first_wrong: Option<WrongLine>,
}

impl Lines {
    /// Reads a table to its end and passes each entry to `each`. Needs no memory for the table.
    pub fn read(mut table: impl BufRead, mut each: impl FnMut(&Entry)) -> io::Result<Self> {
        let (mut lines, mut line, mut number) = (Self::default(), Vec::new(), 0);
        loop {
            line.clear();
            if table.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
                return Ok(lines);
            }
            number += 1;
            let is_whole = line.len() < MAX_LINE || line.ends_with(b"\n");
            if !is_whole {
                table.skip_until(b'\n')?;
            }
            match if is_whole { parse(&line) } else { Err(LineError::TooLong) } {
                Ok(Line::Open(entry)) => {
                    lines.entries += 1;
                    each(&entry);
                }
                Ok(Line::Other) => lines.others += 1,
                Ok(Line::Empty) => {}
                Err(error) => {
                    lines.wrong += 1;
                    let bytes = || line.trim_ascii().to_vec();
                    lines.first_wrong.get_or_insert_with(|| WrongLine { number, bytes: bytes(), error });
                }
            }
        }
    }
}

/// The content of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    Open(Entry),
    Other,
    Empty,
}

fn parse(line: &[u8]) -> Result<Line, LineError> {
    let line = std::str::from_utf8(line).map_err(|_| LineError::NotText)?;
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Empty);
    }
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    match columns[..] {
        [client, local] => {
            let (client, local) = (address(client, "the client")?, address(local, "the local address")?);
            Ok(Line::Open(Entry { client, local, server: None }))
        }
        [protocol, _timeout, state, client, _virtual, local, server] => {
            let is_core = |core: &str| !core.is_empty() && core.bytes().all(|byte| byte.is_ascii_digit());
            let protocol = protocol.strip_prefix('[').and_then(|it| it.split_once(']'));
            let Some((_, protocol)) = protocol.filter(|(core, _)| is_core(core)) else {
                return Err(LineError::Columns);
            };
            if protocol != "tcp" || is_closing(state) {
                return Ok(Line::Other);
            }
            Ok(Line::Open(Entry {
                client: address(client, "the client")?,
                local: address(local, "the local address")?,
                server: Some(address(server, "the server")?),
            }))
        }
        _ => Err(LineError::Columns),
    }
}

/// Returns whether a connection in this state is not established on the server. The balancer keeps its entry for a while,
/// in which another connection may get the same addresses and ports.
fn is_closing(state: &str) -> bool {
    ["WAIT", "CLOS", "LAST_ACK"].iter().any(|part| state.contains(part))
}

fn address(text: &str, what: &'static str) -> Result<SocketAddr, LineError> {
    let address: SocketAddr = text.parse().map_err(|_| LineError::Address(what))?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read(table: &[u8]) -> (Lines, Vec<Entry>) {
        let mut entries = Vec::new();
        let lines = Lines::read(table, |entry| entries.push(*entry)).unwrap();
        (lines, entries)
    }

    fn entry(client: &str, local: &str, server: Option<&str>) -> Entry {
        let address = |text: &str| text.parse().unwrap();
        Entry { client: address(client), local: address(local), server: server.map(address) }
    }

    #[test]
    fn both_forms_are_read() {
        let table = b"\
[1]tcp 90s    TCP_EST     203.0.113.9:54321  198.51.100.10:80   10.9.0.1:37608     10.9.0.2:80
[12]tcp 7s     ESTABLISHED [2001:db8::7]:40000 [2001:db8::1]:80   [fd00::1]:1025     [fd00::2]:80
# a comment

203.0.113.9:1 10.9.0.1:2
\t[::ffff:203.0.113.9]:3\t[::ffff:10.9.0.1]:4\r
";
        let (lines, entries) = read(table);
        assert_eq!((lines.entries, lines.others, lines.wrong), (4, 0, 0));
        let expected = [
            entry("203.0.113.9:54321", "10.9.0.1:37608", Some("10.9.0.2:80")),
            entry("[2001:db8::7]:40000", "[fd00::1]:1025", Some("[fd00::2]:80")),
            entry("203.0.113.9:1", "10.9.0.1:2", None),
            entry("203.0.113.9:3", "10.9.0.1:4", None),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn other_protocols_and_ends_of_connections_are_passed_over() {
        let closing = ["TIME_WAIT", "TCP_TIME_WAIT", "FIN_WAIT", "CLOSE_WAIT", "CLOSE", "CLOSED", "LAST_ACK"];
        let others = [("udp", "UDP_NORMAL"), ("icmp", "NONE"), ("icmpv6", "NONE")];
        let entries = others.into_iter().chain(closing.map(|state| ("tcp", state)));
        let line = |(protocol, state)| {
            format!("[1]{protocol} 9s {state} 203.0.113.9:1 198.51.100.10:80 10.9.0.1:2 10.9.0.2:80\n")
        };
        let table: String = entries.map(line).collect();
        let (lines, entries) = read(table.as_bytes());
        assert_eq!((lines.others, lines.wrong, entries), (10, 0, Vec::new()));
    }

    #[test]
    fn wrong_lines_are_counted_and_the_first_is_kept() {
        for (line, error) in [
            ("IPVS connection entries", LineError::Columns),
            ("TCP 14:59 ESTABLISHED 203.0.113.9:1 198.51.100.10:80 10.9.0.2:80", LineError::Columns),
            ("tcp 9s EST 203.0.113.9:1 198.51.100.10:80 10.9.0.1:2 10.9.0.2:80", LineError::Columns),
            ("[]tcp 9s EST 203.0.113.9:1 198.51.100.10:80 10.9.0.1:2 10.9.0.2:80", LineError::Columns),
            (
                "[1]tcp 9s EST 203.0.113.9 198.51.100.10:80 10.9.0.1:2 10.9.0.2:80",
                LineError::Address("the client"),
            ),
            (
                "[1]tcp 9s EST 203.0.113.9:1 198.51.100.10:80 10.9.0.1 x",
                LineError::Address("the local address"),
            ),
            (
                "[1]tcp 9s EST 203.0.113.9:1 198.51.100.10:80 10.9.0.1:2 www:80",
                LineError::Address("the server"),
            ),
            ("203.0.113.9:65536 10.9.0.1:2", LineError::Address("the client")),
            ("203.0.113.9", LineError::Columns),
        ] {
            let (lines, entries) = read(format!("203.0.113.9:1 10.9.0.1:2\n{line}\n{line} x\n").as_bytes());
            let first = WrongLine { number: 2, bytes: line.into(), error };
            assert_eq!((lines.first_wrong, lines.wrong, entries.len()), (Some(first), 2, 1), "{line}");
        }
        let (lines, _) = read(b"\xff\xfe 10.9.0.1:2\n");
        assert_eq!(lines.first_wrong.unwrap().error, LineError::NotText);
    }

    #[test]
    fn a_long_line_costs_no_memory_and_hides_no_other() {
        let table = [vec![b'x'; 1 << 20], b"\n203.0.113.9:1 10.9.0.1:2".to_vec()].concat();
        let (lines, entries) = read(&table);
        assert_eq!((lines.wrong, entries.len()), (1, 1));
        let first = lines.first_wrong.unwrap();
        assert_eq!((first.number, first.bytes.len(), first.error), (1, MAX_LINE, LineError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b' ')], 0..4096)) {
            let (lines, entries) = read(&bytes);
            let count = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            prop_assert!(lines.entries + lines.others + lines.wrong <= count as u64);
            prop_assert_eq!(entries.len() as u64, lines.entries);
        }
    }
}
