//! Connections as balancers really send them, with segments that a server ignores in between: every request is printed
//! under its client, and nothing else without a mark.

use serde_json::Value;

use super::{ACK, File, Result, SYN, block_at, header, packet, text};

const FIN: u8 = 1;
const RST: u8 = 4;

/// The packets of a connection that carry the TOA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Habit {
    Syn,
    SynAndEarly,
    Early,
    HandshakeAck,
    FirstData,
}

const HABITS: [Habit; 5] =
    [Habit::Syn, Habit::SynAndEarly, Habit::Early, Habit::HandshakeAck, Habit::FirstData];

/// The balancer's side of successive connections with the same 4-tuple, as packets of a capture.
struct Balancer {
    habit: Habit,
    packets: Vec<(usize, Vec<u8>)>,
    second: usize,
    seq: u32,
    ack: u32,
    /// The last number of the current client's address.
    client: u8,
    has_replied: bool,
    has_sent: bool,
}

impl Balancer {
    fn new(habit: Habit) -> Self {
        Self {
            habit,
            packets: Vec::new(),
            second: 0,
            seq: 0,
            ack: 0,
            client: 0,
            has_replied: false,
            has_sent: false,
        }
    }

    /// Adds a packet, which may be anything.
    fn packet(&mut self, seq: u32, flags: u8, is_marked: bool, payload: &[u8]) -> &mut Self {
        let toa = [254, 8, 0, self.client, 120, 120, 111, self.client];
        let options = if is_marked { &toa[..] } else { &[] };
        let mut packet = packet(37_608, seq, flags, options, payload);
        packet.splice(28..32, self.ack.to_be_bytes());
        self.packets.push((self.second, packet));
        self
    }

    /// Receives this many bytes of answers.
    fn answered(&mut self, bytes: u32) -> &mut Self {
        self.ack = self.ack.wrapping_add(bytes);
        self
    }

    fn wait(&mut self, seconds: usize) -> &mut Self {
        self.second += seconds;
        self
    }

    fn syn(&mut self, isn: u32) -> &mut Self {
        let is_marked = matches!(self.habit, Habit::Syn | Habit::SynAndEarly);
        self.packet(isn, SYN, is_marked, b"")
    }

    /// Begins a connection of a client that is not told by a SYN of this capture.
    fn begin(&mut self, client: u8, isn: u32) -> &mut Self {
        self.client = client;
        self.seq = isn.wrapping_add(1);
        (self.has_replied, self.has_sent) = (false, false);
        self
    }

    fn open(&mut self, client: u8, isn: u32) -> &mut Self {
        self.begin(client, isn).syn(isn).handshake_ack()
    }

    fn handshake_ack(&mut self) -> &mut Self {
        let is_marked = matches!(self.habit, Habit::SynAndEarly | Habit::Early | Habit::HandshakeAck);
        self.packet(self.seq, ACK, is_marked, b"")
    }

    /// Sends bytes of the stream.
    fn send(&mut self, payload: &[u8]) -> &mut Self {
        let is_marked = match self.habit {
            Habit::SynAndEarly | Habit::Early => !self.has_replied,
            Habit::FirstData => !self.has_sent,
            Habit::Syn | Habit::HandshakeAck => false,
        };
        (self.has_sent, self.has_replied) = (true, true);
        let seq = self.seq;
        self.seq = seq.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        self.packet(seq, ACK, is_marked, payload)
    }

    fn send_in_parts(&mut self, payload: &[u8]) {
        for part in payload.chunks(1400) {
            self.send(part);
        }
    }

    fn request(&mut self, target: &str) -> &mut Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: api.example\r\n\r\n").as_bytes())
    }

    /// Returns what is printed: `CLIENT METHOD TARGET` with marks, or `CLIENT other`.
    fn printed(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let blocks = self.packets.iter().map(|(second, packet)| block_at(*second, packet));
        let file =
            File::new("connections", &[header()].into_iter().chain(blocks).flatten().collect::<Vec<_>>())?;
        let output = file.read(&[&["-o", "json"], arguments].concat())?;
        // 3 if none of the connections had a request.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
        let lines: std::result::Result<Vec<Value>, _> =
            text(&output.stdout).lines().map(serde_json::from_str).collect();
        Ok(lines?.iter().filter_map(describe).collect())
    }
}

fn describe(line: &Value) -> Option<String> {
    let at = |pointer: &str| line.pointer(pointer).cloned().unwrap_or_default();
    let string = |pointer: &str| at(pointer).as_str().unwrap_or_default().to_owned();
    let client = at("/client/port");
    if at("/connection/preview").is_string() {
        return Some(format!("{client} other"));
    }
    if string("/event") != "request" {
        return None;
    }
    let mut words = vec![client.to_string(), string("/http/request/method"), string("/url/original")];
    for mark in ["resynchronized", "reopened", "incomplete", "malformed", "conflicting"] {
        if !matches!(at(&format!("/{mark}")), Value::Null | Value::Bool(false)) {
            words.push(mark.to_owned());
        }
    }
    Some(words.join(" "))
}

/// Checks what is printed of a connection behind every balancer.
fn expect(what: &str, expected: &[&str], send: impl Fn(&mut Balancer)) -> Result {
    for habit in HABITS {
        let mut balancer = Balancer::new(habit);
        send(&mut balancer);
        assert_eq!(balancer.printed(&["--any"])?, expected, "{what}, {habit:?}");
    }
    Ok(())
}

const ISN: u32 = 1000;

/// Returns the sequence number and flags of a segment, given the next number of the stream.
type Stray = fn(u32) -> (u32, u8);

#[test]
fn a_segment_that_a_server_ignores_ends_nothing() -> Result {
    // Resets and ends far ahead, in the window, and long past; a SYN, answered by a challenge ACK.
    let strays: [(&str, Stray); 7] = [
        ("a reset far ahead", |seq| (seq.wrapping_add(1 << 29), RST)),
        ("a reset in the window", |seq| (seq.wrapping_add(300), RST)),
        ("an old reset", |seq| (seq.wrapping_sub(5000), RST)),
        ("an end far ahead", |seq| (seq.wrapping_add(1 << 29), FIN | ACK)),
        ("an end in the window", |seq| (seq.wrapping_add(300), FIN | ACK)),
        ("an old end", |seq| (seq.wrapping_sub(5000), FIN | ACK)),
        ("a SYN", |_| (77_777, SYN)),
    ];
    for (what, stray) in strays {
        expect(what, &["1 GET /a", "1 GET /b", "1 GET /c"], |it| {
            it.open(1, ISN).request("/a");
            let (seq, flags) = stray(it.seq);
            it.packet(seq, flags, false, b"").wait(15).request("/b").wait(15).request("/c");
        })?;
    }
    expect("a byte far ahead", &["1 GET /a", "1 GET /b"], |it| {
        it.open(1, ISN).request("/a");
        let seq = it.seq.wrapping_add(300_000_000);
        it.packet(seq, ACK, false, b"x").wait(5).request("/b");
    })
}

#[test]
fn payload_after_an_end_is_printed_and_marked() -> Result {
    for flags in [RST, FIN | ACK] {
        expect("an end that the server did not accept", &["1 GET /a", "1 GET /b reopened"], |it| {
            it.open(1, ISN).request("/a");
            let seq = it.seq;
            it.packet(seq, flags, false, b"").wait(20).request("/b");
        })?;
    }
    Ok(())
}

#[test]
fn a_balancer_that_lost_its_state_opens_another_connection() -> Result {
    // SYN, challenge ACK, RST at the number of the old connection, the SYN again (RFC 9293 section 3.5.1).
    expect("half-open", &["1 GET /old", "2 GET /new1", "2 GET /new2", "2 GET /new3"], |it| {
        it.open(1, ISN).request("/old").wait(2);
        let next = it.seq;
        it.begin(2, 900_000).syn(900_000).packet(next, RST, false, b"").wait(1).syn(900_000).handshake_ack();
        it.request("/new1").wait(12).request("/new2").wait(30).request("/new3");
    })
}

#[test]
fn the_next_client_of_a_port_has_its_own_requests() -> Result {
    let expected = ["1 GET /c1-1", "1 GET /c1-2", "2 GET /c2-1", "2 GET /c2-2", "3 GET /c3-1", "3 GET /c3-2"];
    let send = |it: &mut Balancer, client: u8| {
        it.request(&format!("/c{client}-1")).wait(1).request(&format!("/c{client}-2")).wait(1);
    };
    for end in [FIN | ACK, RST, 0] {
        expect("with SYNs", &expected, |it| {
            for client in 1..=3 {
                it.open(client, u32::from(client) * 1_000_000_000);
                send(it, client);
                let seq = it.seq;
                if end != 0 {
                    it.packet(seq, end, false, b"");
                }
            }
        })?;
    }
    // A capture whose filter lets only data pass.
    for habit in [Habit::FirstData, Habit::Early] {
        let mut it = Balancer::new(habit);
        for client in 1..=3 {
            it.begin(client, u32::from(client) * 1_000_000_000);
            send(&mut it, client);
        }
        assert_eq!(it.printed(&["--any"])?, expected);
        assert_eq!(it.printed(&["--ip", "120.120.111.1"])?, ["1 GET /c1-1", "1 GET /c1-2"]);
    }
    Ok(())
}

#[test]
fn a_client_that_is_contradicted_in_sequence_is_marked() -> Result {
    let mut it = Balancer::new(Habit::Early);
    it.open(1, ISN).request("/a");
    it.client = 2;
    let seq = it.seq;
    it.packet(seq, ACK, true, b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(it.printed(&["--any"])?, ["1 GET /a", "1 GET /b conflicting"]);
    Ok(())
}

#[test]
fn any_method_may_come_first_whichever_packet_named_the_client() -> Result {
    for method in ["NOTIFY", "MKACTIVITY", "BAN", "FOO", "get"] {
        expect(method, &[&format!("1 {method} /x"), "1 GET /y"], |it| {
            it.open(1, ISN);
            it.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).request("/y");
        })?;
    }
    Ok(())
}

#[test]
fn another_protocol_has_its_line_whichever_packet_named_the_client() -> Result {
    let first: [&[u8]; 7] = [
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x20\0\0\x01\x85\xa6\xff\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"EHLO client.example\r\n",
        b"\x10\x1a\0\x04MQTT\x04",
    ];
    for bytes in first {
        expect(&bytes.escape_ascii().to_string(), &["1 other"], |it| {
            it.open(1, ISN).send(bytes).send(b"more");
        })?;
    }
    Ok(())
}

#[test]
fn targets_that_are_not_utf_8_are_printed() -> Result {
    expect("GBK", &[r"1 GET /\xcb\xd1?q=\xb2\xe8", "1 GET /next"], |it| {
        it.open(1, ISN).send(b"GET /\xcb\xd1?q=\xb2\xe8 HTTP/1.1\r\nHost: a\r\n\r\n").request("/next");
    })
}

#[test]
fn a_head_that_is_too_long_is_printed_as_far_as_it_was_kept() -> Result {
    expect("a cookie of 70 kB", &["1 GET /big incomplete", "1 GET /next"], |it| {
        it.open(1, ISN).send(b"GET /big HTTP/1.1\r\nHost: a\r\nX-Team: payments\r\nCookie: ");
        for _ in 0..70 {
            it.send(&[b'c'; 1000]);
        }
        it.send(b"\r\n\r\n").request("/next");
    })?;
    expect("2,500 fields", &["1 GET /many incomplete", "1 GET /next"], |it| {
        let head = format!("GET /many HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(2500));
        it.open(1, ISN);
        it.send_in_parts(head.as_bytes());
        it.request("/next");
    })
}

#[test]
fn silence_throws_nothing_away() -> Result {
    expect("within a head", &["1 GET /slow"], |it| {
        it.open(1, ISN).send(b"GET /slow HTTP/1.1\r\nHost:").wait(900).send(b" a\r\n\r\n");
    })?;
    expect("within a body", &["1 POST /upload", "1 GET /next"], |it| {
        let phantom = b"GET /phantom HTTP/1.1\r\nHost: a\r\n\r\n";
        let head =
            format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 10 + phantom.len());
        it.open(1, ISN).send(head.as_bytes()).send(&[b'\n'; 10]).wait(900).send(phantom).request("/next");
    })?;
    expect("before an unusual method", &["1 GET /a", "1 BAN /b"], |it| {
        it.open(1, ISN).request("/a").wait(900).send(b"BAN /b HTTP/1.1\r\nHost: a\r\n\r\n");
    })
}

#[test]
fn a_hole_waits_for_its_retransmission() -> Result {
    expect("after half a minute", &["1 GET /a", "1 GET /b", "1 GET /c"], |it| {
        it.open(1, ISN).request("/a");
        let (seq, lost) = (it.seq, b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        it.seq = seq.wrapping_add(u32::try_from(lost.len()).unwrap_or(0));
        it.request("/c").wait(40).packet(seq, ACK, false, lost);
    })
}

#[test]
fn a_keep_alive_probe_changes_nothing() -> Result {
    for payload in [&b""[..], b"\0", b"x"] {
        expect("a probe", &["1 GET /a", "1 GET /b"], |it| {
            it.open(1, ISN).request("/a").wait(60);
            let probe = it.seq.wrapping_sub(1);
            it.packet(probe, ACK, false, payload).wait(60).packet(probe, ACK, false, payload).request("/b");
        })?;
    }
    Ok(())
}

#[test]
fn a_body_that_was_never_sent_hides_no_request() -> Result {
    // The server refused, so the client did not send the body (RFC 9110 section 10.1.1).
    expect("100-continue", &["1 POST /a", "1 GET /b resynchronized"], |it| {
        it.open(1, ISN);
        it.send(b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
        it.answered(180).wait(1).request("/b");
    })?;
    // The server confirmed, so what looks like a request is the body.
    expect("100-continue, confirmed", &["1 POST /a"], |it| {
        it.open(1, ISN);
        it.send(b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
        it.answered(25).request("/b");
    })
}

#[test]
fn phantoms_in_bodies_are_never_printed_without_a_mark() -> Result {
    let phantom = b"GET /phantom HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".to_owned(),
        "POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000186a0\r\n".to_owned(),
        format!("POST /u HTTP/1.1\r\nHost: a\r\nX: {}\r\nContent-Length: 100000\r\n\r\n", "x".repeat(70_000)),
    ] {
        for is_lost in [false, true] {
            for habit in HABITS {
                let mut it = Balancer::new(habit);
                it.open(1, ISN);
                it.send_in_parts(head.as_bytes());
                if is_lost {
                    it.seq = it.seq.wrapping_add(1400);
                }
                for _ in 0..50 {
                    it.send(phantom);
                }
                let printed = it.printed(&["--any"])?;
                let unmarked = |line: &&String| line.contains("/phantom") && !line.contains("resynchronized");
                assert_eq!(printed.iter().filter(unmarked).count(), 0, "{head:.60}, {is_lost}: {printed:?}");
                assert!(printed.first().is_some_and(|line| line.starts_with("1 POST /u")), "{printed:?}");
            }
        }
    }
    Ok(())
}
