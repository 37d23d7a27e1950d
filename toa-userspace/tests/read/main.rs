//! Tests of the command `read`: its output for captures, its errors for files that it cannot read, and its timing.

mod compressed;
mod connections;
mod joined;
mod limits;
mod messages;
mod results;
mod selection;
mod several;
mod time_zone;
mod tunnels;

use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Longest wait for a line that should be printed as soon as possible.
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SYN: u8 = 2;
const ACK: u8 = 16;
const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// 120.120.111.111:44208.
const TOA: [u8; 8] = [254, 8, 0xac, 0xb0, 120, 120, 111, 111];
const REQUEST: &[u8] = b"GET /orders HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer hunter2\r\n\r\n";

/// Returns an IPv4 packet from the balancer to the server.
fn packet(port: u16, seq: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x45, 0];
    packet.extend(u16::try_from(20 + header_len + payload.len()).unwrap_or(0).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend([BALANCER, SERVER].map(|address| address.octets()).as_flattened());
    packet.extend([port.to_be_bytes(), 80_u16.to_be_bytes()].as_flattened());
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 0, u8::try_from(header_len / 4 * 16).unwrap_or(0), flags, 0, 0, 0, 0, 0, 0]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn words(words: &[usize]) -> Vec<u8> {
    words.iter().flat_map(|word| u32::try_from(*word).unwrap_or(u32::MAX).to_le_bytes()).collect()
}

/// Returns the header of a pcap file: raw IP, microseconds.
fn header() -> Vec<u8> {
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 101])
}

/// Returns a packet of that file, at 2026-11-22 07:43:27.5 UTC.
fn block(packet: &[u8]) -> Vec<u8> {
    block_at(0, packet)
}

/// Returns a packet of that file, this many seconds later.
fn block_at(seconds: usize, packet: &[u8]) -> Vec<u8> {
    [words(&[1_795_333_407 + seconds, 500_000, packet.len(), packet.len()]), packet.to_vec()].concat()
}

/// Returns a capture with two connections of one request each: one of a real client, and one without a TOA.
fn capture() -> Vec<u8> {
    let packets = [
        packet(7, 9, SYN, &TOA, b""),
        packet(7, 10, ACK, &[], REQUEST),
        packet(8, 9, SYN, &[], b""),
        packet(8, 10, ACK, &[], b"GET /plain HTTP/1.1\r\nhost: b\r\n\r\n"),
    ];
    [header()].into_iter().chain(packets.iter().map(|packet| block(packet))).flatten().collect()
}

/// Returns a pcapng block.
fn ng_block(kind: usize, content: &[u8]) -> Vec<u8> {
    let content = padded(content);
    let len = words(&[content.len() + 12]);
    [words(&[kind]), len.clone(), content, len].concat()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Returns the beginning of a pcapng section with an interface of this link type and name.
fn section(link_type: usize, name: &str) -> Vec<u8> {
    let options = [words(&[2 | name.len() << 16]), padded(name.as_bytes()), words(&[0])].concat();
    let interface = [words(&[link_type, 0]), options].concat();
    [ng_block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, usize::MAX, usize::MAX])), ng_block(1, &interface)]
        .concat()
}

/// Returns a packet of a section's first interface.
fn ng_packet(packet: &[u8]) -> Vec<u8> {
    ng_block(6, &[words(&[0, 0, 1, packet.len(), packet.len()]), packet.to_vec()].concat())
}

/// Returns the first connection as pcapng, on an interface with this name.
fn pcapng(name: &str) -> Vec<u8> {
    let packets = [packet(7, 9, SYN, &TOA, b""), packet(7, 10, ACK, &[], REQUEST)];
    [section(101, name)].into_iter().chain(packets.iter().map(|packet| ng_packet(packet))).flatten().collect()
}

struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, bytes)?;
        Ok(Self(path))
    }

    fn read(&self, arguments: &[&str]) -> Result<Output> {
        Ok(tool().arg("read").arg(&self.0).args(arguments).stdin(Stdio::null()).output()?)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toa-tc"));
    command.env("TZ", "UTC");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts the tool with a pipe as its input.
fn piped(arguments: &[&str]) -> Result<Child> {
    let mut command = tool();
    command.args(["read", "-"]).args(arguments);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Waits for the first line that the tool prints, and continues to read in the background.
fn first_line(child: &mut Child) -> Result<String> {
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let (found, line) = mpsc::channel();
    thread::spawn(move || {
        let _ = found.send(lines.next());
        lines.count()
    });
    Ok(line.recv_timeout(PATIENCE)?.ok_or("nothing was printed")??)
}

const PRINTED: &str =
    "07:43:27.500000 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:7) GET /orders HTTP/1.1
    host: api.example
    authorization: Bearer ••• (redacted)
";

#[test]
fn a_capture_is_printed_as_attach_prints() -> Result {
    let file = File::new("text", &capture())?;
    for rule in [&["--ip", "120.120.111.0/24"][..], &["--any"], &["--port", "44208"]] {
        let output = file.read(&[rule, &["-v"]].concat())?;
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), PRINTED), "{output:?}");
        let said = text(&output.stderr);
        // The SYN is only remembered.
        let packets = "packets: 1 matched = 1 delivered + 0 lost + 0 bypassed\n";
        let bytes = format!("payload bytes: {0} matched = {0} delivered + 0 cut + 0 lost", REQUEST.len());
        assert!(said.contains(packets) && said.contains(&bytes), "{said}");
    }
    let shown = text(&file.read(&["--any", "--show-secrets"])?.stdout);
    assert!(shown.contains("authorization: Bearer hunter2\n"), "{shown}");
    Ok(())
}

#[test]
fn any_flow_needs_no_toa_and_says_that_there_is_none() -> Result {
    let file = File::new("json", &capture())?;
    let output = file.read(&["--any-flow", "-o", "json"])?;
    let lines = text(&output.stdout);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let schema = serde_json::from_str(include_str!("../../schema/toa-tc.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    assert!(lines.iter().all(|line| schema.is_valid(line)), "{lines:?}");
    let requests: Vec<_> = lines.iter().filter(|line| line["event"] == "request").collect();
    let of = |at: usize| {
        let request: &serde_json::Value = requests[at];
        (&request["toa"], request["client"]["port"].as_u64(), request["url"]["path"].as_str())
    };
    assert_eq!((of(0).0["kind"].as_u64(), of(0).1, of(0).2), (Some(254), Some(44208), Some("/orders")));
    assert_eq!(of(1), (&serde_json::Value::Null, None, Some("/plain")));
    assert_eq!(requests[1]["network"]["peer"]["port"], 8);
    assert_eq!(requests.len(), 2);
    let last = lines.last().ok_or("no line")?;
    assert_eq!((&last["event"], &last["timestamp"]), (&"ledger".into(), &requests[0]["timestamp"]));
    Ok(())
}

#[test]
fn an_interface_has_the_name_that_the_capture_gives_it() -> Result {
    let output = File::new("pcapng", &pcapng("eth7"))?.read(&["--any", "-o", "json"])?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains(r#""interface":{"name":"eth7"}"#), "{output:?}");
    Ok(())
}

#[test]
fn an_interface_without_a_name_conforms_to_the_schema() -> Result {
    let output = File::new("nameless", &pcapng(""))?.read(&["--any", "-o", "json"])?;
    let schema = serde_json::from_str(include_str!("../../schema/toa-tc.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    for line in text(&output.stdout).lines() {
        assert!(schema.is_valid(&serde_json::from_str(line)?), "{line}");
    }
    assert!(text(&output.stdout).contains(r#""interface":{"name":null}"#), "{output:?}");
    Ok(())
}

#[test]
fn packets_of_an_unknown_link_type_are_counted_and_the_others_read() -> Result {
    let usb = [section(220, "usbmon1"), ng_packet(b"u"), ng_packet(b"v")].concat();
    let output = File::new("links", &[usb.clone(), pcapng("eth7")].concat())?.read(&["--any"])?;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text(&output.stdout).contains("GET /orders HTTP/1.1"), "{output:?}");
    assert!(said.contains("toa-tc: 2 packets of unsupported link type 220 (USB) skipped\n"), "{said}");
    let output = File::new("link", &usb)?.read(&["--any"])?;
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("unsupported link type 220 (USB): supported are Ethernet (1)"), "{said}");
    Ok(())
}

#[test]
fn more_sections_than_a_file_has_interfaces_are_read() -> Result {
    let output = File::new("sections", &pcapng("eth7").repeat(5000))?.read(&["--any"])?;
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(0), false), "{output:?}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_one_line_and_exit_code_1() -> Result {
    let broken = |name, bytes: &[u8]| File::new(name, bytes);
    for (file, reason) in [
        (broken("none", REQUEST)?, "not a pcap or pcapng file"),
        (broken("empty", b"")?, "empty"),
        (broken("cut", &words(&[0xa1b2_c3d4, 0x0004_0002]))?, "the capture ends within its file header"),
        (broken("wifi", &words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 105]))?, "link type 105"),
        (File(PathBuf::from("/nonexistent/capture")), "cannot open /nonexistent/capture: No such file"),
        (File(PathBuf::from("/proc/self")), "Is a directory"),
    ] {
        let output = file.read(&["--any"])?;
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with("toa-tc: ") && said.contains(reason), "{said}");
    }
    Ok(())
}

#[test]
fn a_truncated_capture_is_printed_up_to_its_end_and_is_a_failure() -> Result {
    let whole = capture();
    let file = File::new("truncated", whole.get(..whole.len() - 3).unwrap_or_default())?;
    let output = file.read(&["--any"])?;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), PRINTED));
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("ends within a packet"), "{said}");
    Ok(())
}

#[test]
fn a_count_ends_a_reading_before_its_capture_does() -> Result {
    let mut child = piped(&["--any-flow", "-c", "1"])?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    stdin.write_all(&capture())?;
    // The writing end of the pipe is still open.
    let output = child.wait_with_output()?;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), PRINTED), "{output:?}");
    drop(stdin);
    Ok(())
}

#[test]
fn a_request_of_a_pipe_is_printed_as_soon_as_it_is_complete() -> Result {
    for start in [Some(packet(7, 9, SYN, &TOA, b"")), None] {
        let mut child = piped(&["--any"])?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(&header())?;
        let options = if start.is_some() { &[][..] } else { &TOA };
        if let Some(start) = &start {
            stdin.write_all(&block(start))?;
        }
        stdin.write_all(&block(&packet(7, 10, ACK, options, REQUEST)))?;
        stdin.flush()?;
        let line = first_line(&mut child)?;
        assert_eq!(Some(line.as_str()), PRINTED.lines().next());
        drop(stdin);
        assert_eq!(child.wait()?.code(), Some(0));
    }
    Ok(())
}

#[test]
fn a_signal_ends_the_reading_of_a_pipe_with_a_ledger() -> Result {
    let mut child = piped(&["--any"])?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    stdin.write_all(&capture())?;
    first_line(&mut child)?;
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("1 request of 1 client on 1 connection, nothing lost"),
        "{output:?}"
    );
    drop(stdin);
    Ok(())
}

#[test]
fn a_reader_that_goes_ends_a_reading() -> Result {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let file = File::new("closed", &capture())?;
    let output = tool().arg("read").arg(&file.0).arg("--any").stdout(writer).stdin(Stdio::null()).output()?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    Ok(())
}

#[test]
fn a_reader_that_goes_ends_the_reading_of_a_pipe_without_further_packets() -> Result {
    let mut child = piped(&["--any"])?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    stdin.write_all(&capture())?;
    let mut line = String::new();
    // The reader is gone after this.
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let begin = Instant::now();
    while child.try_wait()?.is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            return Err("it does not end".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("1 request of 1 client on 1 connection, nothing lost"),
        "{output:?}"
    );
    drop(stdin);
    Ok(())
}

#[test]
fn any_flow_with_a_rule_follows_the_watched_client_without_toa() -> Result {
    let file = File::new("direct", &capture())?;
    for (rule, target) in [("10.9.0.1", "GET /plain"), ("120.120.111.111", "GET /orders")] {
        let output = file.read(&["--any-flow", "--ip", rule])?;
        let printed = text(&output.stdout);
        assert_eq!((output.status.code(), printed.matches("GET /").count()), (Some(0), 1), "{output:?}");
        assert!(printed.contains(target), "{printed}");
    }
    let said = text(&file.read(&["--any-flow", "--ip", "192.0.2.1"])?.stderr);
    let expected = "4 TCP packets in this capture, among them no SYN or request of a watched client\n";
    assert!(said.ends_with(expected), "{said}");
    Ok(())
}

#[test]
fn when_nothing_matches_one_line_says_what_was_seen() -> Result {
    let file = File::new("nothing", &capture())?;
    let said = text(&file.read(&["--ip", "192.0.2.1"])?.stderr);
    let expected = "toa-tc: 4 TCP packets in this capture, 1 with TOA 254:8 254:20 253:20, none of a watched client \
                    (for example 120.120.111.111)\n";
    assert!(said.ends_with(expected), "{said}");
    Ok(())
}
