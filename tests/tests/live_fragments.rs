//! IP fragments. The first one has the TCP header and is followed; the payload of the others is a gap.
#![cfg(feature = "kernel")]

use anyhow::{Context, Result};
use toa_packets::{
    builder::{PacketBuilder, extension::fragment, flags},
    toa_option::toa_option,
};
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit, mounts},
    process::Signal,
    tool::{
        commands,
        toa_tc::{Output, ToaTc},
    },
    wait,
};

/// A connection whose packets are fragmented where a test chooses.
struct Fragmented {
    is_ipv6: bool,
    port: u16,
    seq: u32,
    injector: Injector,
}

impl Fragmented {
    fn packet(&self) -> PacketBuilder {
        let packet = if self.is_ipv6 { PacketBuilder::ipv6() } else { PacketBuilder::ipv4() };
        packet.source_port(self.port)
    }

    /// Sends the SYN with a TOA.
    fn open(&mut self) -> Result<()> {
        let toa = toa_option(([203, 0, 113, 9], 54321).into());
        let syn = self.packet().flags(flags::SYN).numbers(self.seq, 0).options(&toa);
        self.seq += 1;
        self.injector.send(&syn.build())
    }

    /// Sends bytes in one packet.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.send_cut(bytes, bytes.len())
    }

    /// Sends bytes in two fragments of one packet, or in one packet if nothing follows `cut`.
    fn send_cut(&mut self, bytes: &[u8], cut: usize) -> Result<()> {
        let (first, second) = bytes.split_at(cut);
        let packet = self.packet().flags(flags::ACK | flags::PSH).numbers(self.seq, 1).payload(first);
        self.seq += u32::try_from(bytes.len())?;
        if second.is_empty() {
            return self.injector.send(&packet.build());
        }
        // The second fragment has payload where a TCP header would be. It must not be parsed as one.
        let offset = u16::try_from((20 + first.len()) / 8)?;
        let rest = self.packet().payload(second);
        for frame in if self.is_ipv6 {
            [packet.extension(fragment(0, true)), rest.extension(fragment(offset, false))]
        } else {
            [packet.fragment(0, true), rest.fragment(offset, false)]
        } {
            self.injector.send(&frame.build())?;
        }
        Ok(())
    }
}

/// Lets `talk` use a connection until `last` is printed. Returns the tool's output, and how many fragments
/// without a header it counted.
fn check(is_ipv6: bool, last: &str, talk: fn(&mut Fragmented) -> Result<()>) -> Result<(Output, u64)> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::Syn)?;
        let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
        let injector = Injector::new(&lab.balancer)?;
        let mut connection = Fragmented { is_ipv6, port: 40_000, seq: 1000, injector };
        connection.open()?;
        talk(&mut connection)?;
        wait::until("the last request", || Ok(tool.stdout()?.contains(last).then_some(())))?;
        let status = commands::object(&lab.server.namespace, &["status", "-o", "json"])?;
        let fragments = status.pointer("/runs/0/counters/fragment").context("no counter")?.as_u64();
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        output.ledger()?.check()?;
        Ok((output, fragments.context("no number")?))
    })
}

#[test]
fn a_head_in_the_first_fragment_is_whole() -> Result<()> {
    for is_ipv6 in [false, true] {
        let (output, fragments) = check(is_ipv6, "/next", |connection| {
            let head = "POST /upload HTTP/1.1\r\nhost: lab\r\ncontent-length: 40\r\n\r\n";
            let request = format!("{head}{}", "x".repeat(40));
            connection.send_cut(request.as_bytes(), head.len() + 16)?;
            connection.send(b"GET /next HTTP/1.1\r\nhost: lab\r\n\r\n")
        })?;
        let printed = output.requests()?;
        let targets: Vec<_> =
            printed.iter().map(|it| (it.target.as_str(), it.marks.first().map(String::as_str))).collect();
        assert_eq!(targets, [("/upload", None), ("/next", None)], "{}", output.stderr);
        assert_eq!(fragments, 1);
        assert!(output.stderr.contains("1 gap of 24 bytes"), "{}", output.stderr);
    }
    Ok(())
}

#[test]
fn a_head_that_goes_on_in_the_second_fragment_is_incomplete() -> Result<()> {
    for is_ipv6 in [false, true] {
        let (output, fragments) = check(is_ipv6, "/next", |connection| {
            let head = b"GET /cut HTTP/1.1\r\nhost: lab\r\nx-team: payments\r\n\r\n";
            connection.send(b"GET /before HTTP/1.1\r\nhost: lab\r\n\r\n")?;
            connection.send_cut(head, 36)?;
            connection.send(b"GET /next HTTP/1.1\r\nhost: lab\r\n\r\n")
        })?;
        let printed = output.requests()?;
        let targets: Vec<_> =
            printed.iter().map(|it| (it.target.as_str(), it.marks.first().map(String::as_str))).collect();
        let expected = [
            ("/before", None),
            ("/cut", Some("incomplete: gap of 14 bytes")),
            ("/next", Some("resynchronized")),
        ];
        assert_eq!(targets, expected, "{}", output.stderr);
        assert_eq!(fragments, 1);
    }
    Ok(())
}
