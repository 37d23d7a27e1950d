//! Measures what a printed request costs user space, in instructions and allocations: `toa-tc read` under valgrind, with
//! two numbers of keep-alive requests. The difference leaves out starting, attaching and the ledger. No two requests are the
//! same, so that what is kept of earlier ones helps only as much as it does for real clients. The figures do not depend on
//! the machine's speed. Exits with 1 above a limit. Run it with `cargo xtask bench requests`; `cargo xtask test` runs it, too.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use toa_packets::{
    builder::{PacketBuilder, flags},
    capture_file::PcapFile,
};
use toa_tests::tool::toa_tc;

/// Requests in the two captures, sent in turn over [`CONNECTIONS`] connections.
const REQUESTS: [u32; 2] = [2_000, 12_000];
const CONNECTIONS: u16 = 100;

/// Paths, each with one of [`CUSTOMERS`] customers before the query. Which numbers follow is different in every request.
const PATHS: [&str; 8] = [
    "/api/v1/orders",
    "/api/v1/orders/open",
    "/api/v1/customers",
    "/api/v2/invoices/monthly",
    "/shop/articles",
    "/shop/Warenkorb/items",
    "/internal/stock-levels",
    "/static/thumbnails",
];
const CUSTOMERS: u32 = 50;

/// The fields of clients, five each. A sixth is an identifier that never repeats. A connection has one client.
const CLIENTS: [&str; 5] = [
    "host: api.example\r\n\
     user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
     accept: application/json, text/plain, */*\r\naccept-language: en-US,en;q=0.5\r\n\
     accept-encoding: gzip, deflate, br, zstd\r\n",
    "Host: shop.example:8080\r\nConnection: keep-alive\r\n\
     User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0\r\n\
     Accept: */*\r\nSec-Fetch-Mode: cors\r\n",
    "Host: api.example\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n\
     X-Team: warehouse \"north\", shift 2, second line of packing and of shipping\r\n",
    "accept: application/json\r\nx-forwarded-for: 198.51.100.23, 10.1.2.3\r\nhost: api.internal.example\r\n\
     user-agent: okhttp/4.12.0\r\nx-calling-service: billing-batch; stage=production; version=2026.11.3-rc1\r\n",
    "Host: www.example\r\nAccept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n\
     Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nReferer: https://www.example/shop/articles?page=3\r\n\
     User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)\r\n",
];

/// The formats, each with the most that a request may cost.
const FORMATS: [Format; 2] = [
    Format { name: "text", instructions: 8_000, allocations: 1 },
    Format { name: "json", instructions: 9_150, allocations: 1 },
];

/// A format and its limits.
struct Format {
    name: &'static str,
    /// Most instructions a request.
    instructions: u64,
    /// Most allocations in a hundred requests.
    allocations: u64,
}

/// Writes a capture of `requests` keep-alive requests.
fn write(path: &Path, requests: u32) -> Result<()> {
    let packet = |number: u16, flags, seq| {
        PacketBuilder::ipv4().source_port(10_000 + number).flags(flags).numbers(seq, 1)
    };
    let mut file = PcapFile::new(BufWriter::new(File::create(path)?))?;
    for number in 0..CONNECTIONS {
        file.write(&packet(number, flags::SYN, 0).build())?;
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut next_seqs = [1; CONNECTIONS as usize];
    for _ in 0..requests.div_ceil(CONNECTIONS.into()) {
        for (connection, seq) in (0..CONNECTIONS).zip(&mut next_seqs) {
            let request = request(usize::from(connection), &mut random);
            let flags = flags::ACK | flags::PSH;
            file.write(&packet(connection, flags, *seq).payload(request.as_bytes()).build())?;
            *seq += u32::try_from(request.len())?;
        }
    }
    file.finish()?.flush()?;
    Ok(())
}

/// Returns the next request of a connection, unlike any other.
fn request(connection: usize, random: &mut fastrand::Rng) -> String {
    let path = random.choice(PATHS).unwrap_or_default();
    let customer = 4_000 + random.u32(..CUSTOMERS);
    let (after, id) = (random.u32(..), random.u128(..));
    let fields = CLIENTS.get(connection % CLIENTS.len()).copied().unwrap_or_default();
    format!(
        "GET {path}/{customer}?after={after}&limit=50 HTTP/1.1\r\n{fields}\
         x-request-id: {:08x}-{:04x}-4{:03x}-9{:03x}-{:012x}\r\n\r\n",
        id as u32,
        (id >> 32) as u16,
        (id >> 48) & 0xfff,
        (id >> 64) & 0xfff,
        id >> 80,
    )
}

/// Reads `capture` under a tool of valgrind, and returns what it says on stderr.
fn read(valgrind: &[&str], capture: &Path, format: &Format) -> Result<String> {
    let mut command = Command::new("valgrind");
    command.args(valgrind).arg(toa_tc::binary()?);
    command.args(["read", "--any-flow", "--output", format.name]).arg(capture);
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.context("cannot run valgrind: cargo xtask setup --tests installs it")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?} failed: {said}");
    Ok(said)
}

/// Returns the instructions that reading takes.
fn instructions(directory: &Path, capture: &Path, format: &Format) -> Result<u64> {
    let profile = directory.join("callgrind.out");
    let option = format!("--callgrind-out-file={}", profile.display());
    read(&["--tool=callgrind", &option], capture, format)?;
    let profile = fs::read_to_string(profile)?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("no totals")?;
    Ok(totals.trim().parse()?)
}

/// Returns the allocations that reading makes.
fn allocations(capture: &Path, format: &Format) -> Result<u64> {
    let said = read(&["--undef-value-errors=no"], capture, format)?;
    let usage =
        said.lines().find_map(|line| line.split_once("total heap usage: ")).context("no heap usage")?;
    let (count, _) = usage.1.split_once(" allocs").context("no allocations")?;
    Ok(count.replace(',', "").parse()?)
}

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let captures = ["few.pcap", "many.pcap"].map(|name| directory.path().join(name));
    for (path, requests) in captures.iter().zip(REQUESTS) {
        write(path, requests)?;
    }
    let [few, many] = &captures;
    let requests = u64::from(REQUESTS[1] - REQUESTS[0]);
    let mut is_over = false;
    println!("| format | instructions per request | limit | allocations per 100 requests | limit |");
    println!("|---|---|---|---|---|");
    for format in &FORMATS {
        let spent = [few, many].map(|capture| instructions(directory.path(), capture, format));
        let made = [few, many].map(|capture| allocations(capture, format));
        let ([few_spent, many_spent], [few_made, many_made]) = (spent, made);
        let instructions = many_spent?.saturating_sub(few_spent?) / requests;
        let allocations = many_made?.saturating_sub(few_made?).saturating_mul(100) / requests;
        println!(
            "| {} | {instructions} | {} | {allocations} | {} |",
            format.name, format.instructions, format.allocations
        );
        is_over |= instructions > format.instructions || allocations > format.allocations;
    }
    ensure!(!is_over, "a request costs more than its limit");
    Ok(())
}
