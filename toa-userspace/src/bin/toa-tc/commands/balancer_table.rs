//! The balancer's table of connections, from a file or stdin, and the open connections whose clients it names.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use toa_userspace::{
    connection_table::{
        Lines, WrongLine,
        matching::{Matching, Unnamed},
    },
    live::host::sock_diag::{Established, SockDiag},
    print::{
        count::{Count, plural},
        escape::Escaped,
        push_fmt,
    },
};

use crate::stderr;

/// How much of a wrong line is shown, in bytes.
const MAX_SHOWN: usize = 120;

/// A table that was not read yet.
pub(crate) struct BalancerTable {
    name: String,
    input: Box<dyn BufRead + Send>,
}

/// Open connections, and what the table says of them.
pub(crate) struct NamedConnections {
    connections: Vec<Established>,
    matching: Matching,
    lines: Lines,
    name: String,
}

impl BalancerTable {
    /// Opens a file, or stdin if `path` is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { name: "stdin".to_owned(), input: Box::new(BufReader::new(io::stdin())) });
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            bail!("cannot read {name}: it is a directory");
        }
        Ok(Self { name, input: Box::new(BufReader::new(file)) })
    }

    /// Lists the connections that are open now and that `select` selects, and finds their clients in the table. Waits for
    /// the table's end. `with_times` asks for [`Established::silent_for`].
    pub(crate) fn name_connections(
        self,
        sockets: &mut SockDiag,
        with_times: bool,
        select: impl Fn(&Established) -> bool,
    ) -> Result<NamedConnections> {
        let Self { name, input } = self;
        let mut connections = sockets.established(with_times)?;
        connections.retain(select);
        let mut matching = Matching::new(connections.iter().map(|it| (it.peer(), it.server())));
        let lines = Lines::read(input, |entry| matching.add(entry));
        let lines = lines.with_context(|| format!("cannot read {name}"))?;
        Ok(NamedConnections { connections, matching, lines, name })
    }
}

impl NamedConnections {
    /// Returns the connections, each with its client or the reason why that is not known.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Established, Result<SocketAddr, Unnamed>)> {
        self.connections.iter().zip(self.matching.clients().iter().copied())
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Describes how many have a client, and why the others have none: `200 named by stdin; 3 not in the table`.
    pub(crate) fn tally(&self) -> String {
        let count = |wanted: Option<Unnamed>| {
            let clients = self.matching.clients().iter();
            Count(clients.filter(|client| client.err() == wanted).count() as u64)
        };
        let mut text = format!("{} named by {}", count(None), self.name);
        for reason in Unnamed::ALL {
            let count = count(Some(reason));
            if count.0 > 0 {
                push_fmt(&mut text, format_args!("; {count} {}", reason.describe()));
            }
        }
        text
    }

    /// Reports entries without a connection, and lines that could not be read.
    pub(crate) fn report(&self) {
        let Self { lines, name, matching, .. } = self;
        if matching.unmatched() > 0 {
            let entries = plural(lines.entries, "connection");
            let unmatched = Count(matching.unmatched());
            stderr::note(format_args!("{name}: {entries}, {unmatched} of them not open here"));
        }
        if let Some(WrongLine { number, bytes, error }) = &lines.first_wrong {
            let shown = Escaped(bytes.get(..MAX_SHOWN).unwrap_or(bytes));
            let wrong = plural(lines.wrong, "wrong line");
            stderr::warning(format_args!("{name}: {wrong}, the first is line {number}: {error}: {shown}"));
        }
    }
}
