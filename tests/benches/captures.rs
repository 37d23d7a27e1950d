//! Compares how fast `toa-tc read`, tshark and tcpflow read the same captures in the same run. Run it with
//! `cargo xtask bench captures`.
//!
//! Each reader reads a file of requests to its last packet: `toa-tc read` prints every head as text, tshark
//! prints method, target and host of every request, and tcpflow writes every stream to a file. A second file
//! contains one upload, with a single head to print.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use toa_packets::{
    builder::{PacketBuilder, flags},
    capture_file::PcapFile,
};
use toa_tests::tool::toa_tc;

/// Number of rounds to take medians of. In each, every reader reads every file once.
const ROUNDS: usize = 5;
/// Number of requests in the first file, sent round-robin over [`CONNECTIONS`] connections.
const REQUESTS: u32 = 100_000;
const CONNECTIONS: u16 = 100;
/// Body bytes of the upload, sent in full Ethernet packets of [`SEGMENT`] bytes.
const UPLOAD: usize = 256 << 20;
const SEGMENT: usize = 1448;

const REQUEST: &str = "GET /api/v1/orders?customer=4711&limit=50 HTTP/1.1\r\nhost: api.example\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    accept: application/json, text/plain, */*\r\naccept-language: en-US,en;q=0.5\r\n\
    accept-encoding: gzip, deflate, br, zstd\r\nx-team: payments\r\n\
    x-request-id: 0b9a9b1e-4f4e-4f0e-9a35-0d6a3e3f6b1c\r\nconnection: keep-alive\r\n\r\n";

fn packet(port: u16, flags: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    PacketBuilder::ipv4().source_port(port).flags(flags).numbers(seq, 1).payload(payload).build()
}

fn write_requests(path: &Path) -> Result<()> {
    let mut file = PcapFile::new(BufWriter::new(File::create(path)?))?;
    for port in 0..CONNECTIONS {
        file.write(&packet(10_000 + port, flags::SYN, 0, b""))?;
    }
    let length = u32::try_from(REQUEST.len())?;
    for number in 0..REQUESTS {
        let port = u16::try_from(number % u32::from(CONNECTIONS))?;
        let seq = 1 + number / u32::from(CONNECTIONS) * length;
        file.write(&packet(10_000 + port, flags::ACK | flags::PSH, seq, REQUEST.as_bytes()))?;
    }
    file.finish()?.flush()?;
    Ok(())
}

fn write_upload(path: &Path) -> Result<()> {
    let mut file = PcapFile::new(BufWriter::new(File::create(path)?))?;
    file.write(&packet(10_000, flags::SYN, 0, b""))?;
    let head = format!("POST /upload HTTP/1.1\r\nhost: api.example\r\ncontent-length: {UPLOAD}\r\n\r\n");
    file.write(&packet(10_000, flags::ACK, 1, head.as_bytes()))?;
    let body = [b'x'; SEGMENT];
    let (mut seq, mut left) = (1 + u32::try_from(head.len())?, UPLOAD);
    while left > 0 {
        let part = body.get(..left.min(SEGMENT)).context("no body")?;
        file.write(&packet(10_000, flags::ACK, seq, part))?;
        (seq, left) = (seq.wrapping_add(u32::try_from(part.len())?), left - part.len());
    }
    file.finish()?.flush()?;
    Ok(())
}

/// Runs a reader to completion and returns its time and the number of non-empty lines that it printed.
fn run(command: &mut Command) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let time = start.elapsed();
    ensure!(output.status.success(), "{command:?} failed");
    Ok((time, output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()))
}

fn toa_tc(file: &Path) -> Result<Command> {
    let mut command = Command::new(toa_tc::binary()?);
    command.args(["read", "--any-flow"]).arg(file);
    Ok(command)
}

fn tshark(file: &Path) -> Command {
    let mut command = Command::new("tshark");
    // Without reassembly, which takes tshark minutes for the upload: every head is in one segment.
    command.args(["-n", "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", "http.request", "-T", "fields"]);
    command.args(["-e", "http.request.method", "-e", "http.request.uri", "-e", "http.host", "-r"]).arg(file);
    command
}

fn tcpflow(file: &Path, directory: &Path) -> Command {
    let mut command = Command::new("tcpflow");
    command.args(["-q", "-o"]).arg(directory).arg("-r").arg(file);
    command
}

fn median(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = [directory.path().join("requests.pcap"), directory.path().join("upload.pcap")];
    let [requests, upload] = &files;
    write_requests(requests)?;
    write_upload(upload)?;
    let amounts = [(f64::from(REQUESTS), "requests"), (f64::from(u32::try_from(UPLOAD)?), "bytes of body")];
    let heads = [usize::try_from(REQUESTS)?, 1];
    let mut times = vec![[const { Vec::new() }; 3]; files.len()];
    for _ in 0..ROUNDS {
        for ((file, heads), times) in files.iter().zip(heads).zip(&mut times) {
            let [ours, shark, flow] = times;
            let (time, lines) = run(&mut toa_tc(file)?)?;
            ensure!(lines > heads, "toa-tc printed {lines} lines");
            ours.push(time);
            let (time, lines) = run(&mut tshark(file))?;
            ensure!(lines == heads, "tshark printed {lines} lines");
            shark.push(time);
            let streams = tempfile::tempdir()?;
            flow.push(run(&mut tcpflow(file, streams.path()))?.0);
        }
    }
    println!("| file | reader | s, median of {ROUNDS} | lowest to highest | per second | times toa-tc's |");
    println!("|---|---|---|---|---|---|");
    for ((amount, unit), times) in amounts.iter().zip(&times) {
        let ours = median(&times[0]);
        for (name, times) in ["toa-tc", "tshark", "tcpflow"].iter().zip(times) {
            let median = median(times);
            let seconds = |time: Option<&Duration>| time.map_or(f64::NAN, Duration::as_secs_f64);
            println!(
                "| {amount} {unit} | {name} | {median:.3} | {:.3} to {:.3} | {:.0} | {:.1} |",
                seconds(times.iter().min()),
                seconds(times.iter().max()),
                amount / median,
                median / ours
            );
        }
    }
    Ok(())
}
