//! Memory of idle connections. It is the resident memory of the whole process, so this file has only one
//! test.

use anyhow::{Context as _, Result};
use toa_common::wire::tcp::{ACK, SYN};
use toa_packets::segment::segment;
use toa_userspace::{
    event::Event,
    limits::Limits,
    pipeline::{Pipeline, Sink, connection::Connection},
};

/// Counts requests.
struct Requests(u64);

impl Sink for Requests {
    fn event(&mut self, _: &Connection, event: &Event<'_>) {
        self.0 += u64::from(matches!(event, Event::Request(_)));
    }
}

/// Returns the resident memory of this process in bytes.
fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[test]
fn fifty_thousand_open_connections_stay_within_64_mib() -> Result<()> {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: api.example\r\n\r\n";
    let (mut pipeline, mut requests) = (Pipeline::new(Limits::default()), Requests(0));
    let len = u32::try_from(GET.len())?;
    for connection in 0..50_000 {
        pipeline.segment(&segment(connection, 0, SYN, b""), &mut requests);
        // In two parts, so that the head is buffered and the buffer freed.
        pipeline.segment(&segment(connection, 1, ACK, &GET[..20]), &mut requests);
        pipeline.segment(&segment(connection, 21, ACK, &GET[20..]), &mut requests);
        pipeline.segment(&segment(connection, 1 + len, ACK, GET), &mut requests);
    }
    assert_eq!((pipeline.connections(), requests.0), (50_000, 100_000));
    let resident = resident_bytes()?;
    assert!(resident < 64 << 20, "{resident} bytes resident");
    Ok(())
}
