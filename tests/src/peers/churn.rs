//! Runs `toa-churn`, the server whose processes pass connections on, close them and exit, and measures what
//! its clients see.

use std::{
    fmt,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    path::Path,
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::{
    lab::{SERVER, netns::Namespace},
    peers::client::{Connection, Request},
    process::{Process, children, describe},
    tool::usage,
    wait::{self, PATIENCE},
};

/// Returns the address that it listens on.
pub fn address() -> SocketAddr {
    SocketAddr::new(SERVER.into(), 80)
}

/// What workers of one kind have done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Accepted connections.
    pub accepted: u64,
    /// Connections that were passed on.
    pub passed: u64,
    /// Connections that were closed on request.
    pub closed: u64,
    /// Descriptor numbers that were immediately reused for something else.
    pub reused: u64,
    /// Workers that exited on request.
    pub exited: u64,
    /// Epoll events of closed descriptors.
    pub stale: u64,
}

/// What all workers have done, by the kind of their epoll events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Level-triggered.
    pub level: Counts,
    /// Edge-triggered.
    pub edge: Counts,
}

/// The running server. Dropping it ends it.
#[derive(Debug)]
pub struct Churn {
    process: Process,
    directory: TempDir,
}

impl Churn {
    /// Starts `binary` with this many workers and waits until they run.
    pub fn start(namespace: &Namespace, binary: &Path, workers: usize) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-churn-").tempdir()?;
        let child = namespace
            .command(binary)
            .args([address().to_string(), workers.to_string()])
            .stdin(Stdio::piped())
            .stdout(File::create(directory.path().join("stdout"))?)
            .spawn()
            .context("starting toa-churn")?;
        let mut process = Process::new("toa-churn", child);
        wait::until("toa-churn's workers", || {
            if let Some(status) = process.status()? {
                anyhow::bail!("toa-churn ended with {}", describe(status));
            }
            Ok((children(process.id())?.len() == workers).then_some(()))
        })?;
        Ok(Self { process, directory })
    }

    /// Returns the number of descriptors of each running worker.
    pub fn descriptors(&self) -> Result<Vec<usize>> {
        children(self.process.id())?.into_iter().map(usage::descriptors).collect()
    }

    /// Stops the server and returns what it did. No worker may have failed.
    pub fn stop(mut self) -> Result<Tally> {
        drop(self.process.child().stdin.take());
        let status = self.process.wait(PATIENCE)?;
        ensure!(status.success(), "toa-churn ended with {}", describe(status));
        fs::read_to_string(self.directory.path().join("stdout"))?.parse()
    }
}

/// Returns the server's answer: 20 digits of its monotonic clock, in nanoseconds.
pub fn answer() -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{:020}", now().as_nanos()).into_bytes()
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// Sends a request after which the server closes the connection, shuts this side down if `ends_too`, and
/// reads to the end. Returns how much later the end came than the server wrote its answer.
pub fn ask_to_end(mut connection: Connection, request: &Request, ends_too: bool) -> Result<Duration> {
    let local = connection.local();
    let stream = connection.stream();
    stream.write_all(&request.head())?;
    if ends_too {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{} to {local}", request.target))?;
    let end = now();
    let answer = String::from_utf8(answer)?;
    let (_, body) =
        answer.split_once("\r\n\r\n").with_context(|| format!("no answer to {local}: {answer}"))?;
    end.checked_sub(Duration::from_nanos(body.parse()?)).context("an end before the answer")
}

impl Counts {
    /// Returns a line for [`Tally`] to parse.
    pub fn line(&self, is_edge_triggered: bool) -> String {
        let Self { accepted, passed, closed, reused, exited, stale } = self;
        format!("{is_edge_triggered} {accepted} {passed} {closed} {reused} {exited} {stale}")
    }
}

impl FromStr for Tally {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut tally = Self::default();
        for line in text.lines() {
            let (is_edge_triggered, numbers) = line.split_once(' ').with_context(|| line.to_owned())?;
            let numbers = numbers.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
            let sum = if is_edge_triggered.parse()? { &mut tally.edge } else { &mut tally.level };
            let sums = [
                &mut sum.accepted,
                &mut sum.passed,
                &mut sum.closed,
                &mut sum.reused,
                &mut sum.exited,
                &mut sum.stale,
            ];
            ensure!(sums.len() == numbers.len(), "{line}");
            sums.into_iter().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
        Ok(tally)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, edge } = self;
        write!(
            f,
            "accepted {}, passed on {}, closed {}, numbers used again {}, workers replaced {}, \
             events of closed descriptors: level-triggered {}, edge-triggered {}",
            level.accepted + edge.accepted,
            level.passed + edge.passed,
            level.closed + edge.closed,
            level.reused + edge.reused,
            level.exited + edge.exited,
            level.stale,
            edge.stale
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_say_is_summed_by_kind() {
        let counts = Counts { accepted: 1, passed: 2, closed: 3, reused: 4, exited: 5, stale: 6 };
        let text = [counts.line(true), counts.line(false), counts.line(true)].join("\n");
        let tally: Tally = text.parse().unwrap();
        assert_eq!(tally.level, counts);
        let edge = Counts { accepted: 2, passed: 4, closed: 6, reused: 8, exited: 10, stale: 12 };
        assert_eq!(tally.edge, edge);
        assert!("true 1 2".parse::<Tally>().is_err());
    }

    #[test]
    fn an_answer_ends_in_its_time() {
        let answer = String::from_utf8(answer()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("content-length: 20"));
        assert!(Duration::from_nanos(body.parse().unwrap()) <= now());
    }
}
