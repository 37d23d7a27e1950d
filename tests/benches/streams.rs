//! Measures how fast user space is without a kernel, on one core: from segments in memory to requests that a
//! sink takes. It also measures the memory of open, idle connections. Run it with `cargo xtask bench
//! streams`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use toa_common::wire::tcp::{ACK, SYN};
use toa_packets::segment::segment;
use toa_tests::tool::usage::resident_kib;
use toa_userspace::{
    event::Event,
    limits::Limits,
    pipeline::{Pipeline, Sink, connection::Connection},
};

/// Runs of each measurement, after a warm-up run.
const RUNS: usize = 11;

/// Requests per run.
const REQUESTS: u32 = 200_000;

/// Body bytes per run.
const BODY_BYTES: u32 = 1 << 30;

/// Payload bytes of a packet after GRO, at its largest.
const SEGMENT_BYTES: u32 = 64_240;

/// A typical browser request: 8 fields, 411 bytes.
const REQUEST: &[u8] = b"GET /api/v1/orders?customer=4711&limit=50 HTTP/1.1\r\nhost: api.example\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    accept: application/json, text/plain, */*\r\naccept-language: en-US,en;q=0.5\r\n\
    accept-encoding: gzip, deflate, br, zstd\r\nx-team: payments\r\n\
    x-request-id: 0b9a9b1e-4f4e-4f0e-9a35-0d6a3e3f6b1c\r\nconnection: keep-alive\r\n\r\n";

/// Counts requests.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn event(&mut self, _: &Connection, event: &Event<'_>) {
        if let Event::Request(request) = event {
            black_box(request.target());
            self.0 += 1;
        }
    }
}

/// Sends keep-alive requests on 100 connections in turn, one per segment.
fn keep_alive() -> Result<Duration> {
    let (mut pipeline, mut sink) = (Pipeline::new(Limits::default()), Count::default());
    let len = u32::try_from(REQUEST.len())?;
    (0..100).for_each(|number| pipeline.segment(&segment(number, 0, SYN, b""), &mut sink));
    let start = Instant::now();
    for number in 0..REQUESTS {
        let (connection, round) = (number % 100, number / 100);
        pipeline.segment(&segment(connection, 1 + round * len, ACK, REQUEST), &mut sink);
    }
    let time = start.elapsed();
    ensure!(sink.0 == u64::from(REQUESTS), "{} requests found", sink.0);
    Ok(time)
}

/// Sends one upload, in order.
fn body() -> Result<Duration> {
    let (mut pipeline, mut sink) = (Pipeline::new(Limits::default()), Count::default());
    let head = format!("POST /upload HTTP/1.1\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    pipeline.segment(&segment(1, 0, SYN, head.as_bytes()), &mut sink);
    let payload = vec![b'\n'; SEGMENT_BYTES as usize];
    let mut seq = 1 + u32::try_from(head.len())?;
    let mut left = BODY_BYTES;
    let start = Instant::now();
    while left > 0 {
        let len = left.min(SEGMENT_BYTES);
        let part = payload.get(..len as usize).context("no payload")?;
        pipeline.segment(&segment(1, seq, ACK, black_box(part)), &mut sink);
        (seq, left) = (seq.wrapping_add(len), left - len);
    }
    let time = start.elapsed();
    pipeline.segment(&segment(1, seq, ACK, REQUEST), &mut sink);
    ensure!(sink.0 == 2, "{} requests found", sink.0);
    Ok(time)
}

/// Sends one upload in chunks of 8 KiB, in many small packets of 1,448 bytes.
fn chunks() -> Result<Duration> {
    let (mut pipeline, mut sink) = (Pipeline::new(Limits::default()), Count::default());
    let head = b"POST /upload HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [&b"2000\r\n"[..], &[b'\n'; 8192], b"\r\n"].concat();
    let stream: Vec<u8> = chunk.iter().copied().cycle().take(chunk.len() * 1024).collect();
    pipeline.segment(&segment(1, 0, SYN, head), &mut sink);
    let mut seq = 1 + u32::try_from(head.len())?;
    let mut total = 0;
    let start = Instant::now();
    while total < BODY_BYTES {
        for part in stream.chunks(1448) {
            pipeline.segment(&segment(1, seq, ACK, black_box(part)), &mut sink);
            let len = u32::try_from(part.len())?;
            (seq, total) = (seq.wrapping_add(len), total.saturating_add(len));
        }
    }
    let time = start.elapsed();
    pipeline.segment(&segment(1, seq, ACK, &[b"0\r\n\r\n", REQUEST].concat()), &mut sink);
    ensure!(sink.0 == 2, "{} requests found", sink.0);
    Ok(time)
}

/// Runs a measurement and prints the median and the spread of its rate.
fn measure(name: &str, unit: &str, amount: f64, run: impl Fn() -> Result<Duration>) -> Result<()> {
    run()?;
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        rates.push(amount / run()?.as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let [low, .., high] = rates[..] else { anyhow::bail!("too few runs") };
    let median = rates.get(RUNS / 2).context("no median")?;
    println!("{name}: {median:.2} {unit}, {low:.2} to {high:.2} in {RUNS} runs");
    Ok(())
}

/// Opens connections that each send one request and are then idle.
fn memory() -> Result<()> {
    let (mut pipeline, mut sink) = (Pipeline::new(Limits::default()), Count::default());
    let before = resident_kib(std::process::id())?;
    for number in 0..50_000 {
        pipeline.segment(&segment(number, 0, SYN, b""), &mut sink);
        pipeline.segment(&segment(number, 1, ACK, REQUEST), &mut sink);
    }
    let after = resident_kib(std::process::id())?;
    ensure!(pipeline.connections() == 50_000, "{} connections", pipeline.connections());
    let bytes = (after - before) * 1024 / 50_000;
    println!("50,000 open connections: {after} KiB resident, {before} before: {bytes} bytes each");
    Ok(())
}

fn main() -> Result<()> {
    memory()?;
    measure("keep-alive requests", "thousand/s", f64::from(REQUESTS) / 1e3, keep_alive)?;
    measure("body with a length", "GB/s", f64::from(BODY_BYTES) / 1e9, body)?;
    measure("body in chunks", "GB/s", f64::from(BODY_BYTES) / 1e9, chunks)
}
