//! Memory of idle connections. It is the resident memory of the whole process, so this file has only one
//! test.

use anyhow::Result;
use toa_common::wire::tcp::{ACK, SYN};
use toa_packets::segment::segment;
use toa_tests::tool::usage::resident_kib;
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
    let resident = resident_kib(std::process::id())?;
    assert!(resident < 64 << 10, "{resident} KiB resident");
    Ok(())
}
