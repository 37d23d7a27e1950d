//! Merged and large frames are followed to the byte, and bytes that exceed a record are counted.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_packets::{
    builder::{PacketBuilder, VLAN, extension::routing, flags},
    toa_option::toa_option,
};
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit, veth::MAX_MTU},
    peers::{client::Request, tcpdump::Capture},
    process::Signal,
    tool::{
        expected_ledger::Account,
        printed::{Printed, rows_of},
        toa_tc::ToaTc,
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const MEGABYTE: usize = 1 << 20;
/// BIG TCP: three times what 16 bits can hold.
const BIG: u32 = 196_608;

/// Uploads several megabytes and compares the tool's ledger with what tcpdump saw.
fn check(lab: &mut Lab, is_ipv6: bool, what: &str) -> Result<Account> {
    let nginx = lab.nginx()?;
    // The filter does not find TCP in a jumbogram, because of its extension header.
    let capture = Capture::start_headers(&lab.server, "tcp port 80 or ip6")?;
    // Enough for everything. Another test covers slow readers.
    let client = SocketAddr::from(CLIENT);
    let tool = ToaTc::attach(&lab.server, &["--ip", &client.to_string(), "--ring-size", "33554432"])?;
    let mut connection = lab.connect_over(is_ipv6, &toa_option(client))?;
    for number in 0..6 {
        let post = Request::post("/upload", MEGABYTE).field("x-request-id", &format!("upload-{number}"));
        connection.ask(post)?;
        // nginx answers before it has the whole body. The end of the body's last packet may be cut, and the
        // next request must not share that packet.
        connection.wait_for_acknowledgment()?;
        connection.ask(Request::get("/between").field("x-request-id", &format!("between-{number}")))?;
    }
    let (port, rows) = (connection.local().port(), rows_of(client, &connection));
    drop(connection);
    let account = Account::of(&capture.stop_at_end_of(port)?);
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(nginx.stop()?.len(), 12, "{what}");
    let printed = output.requests()?;
    assert_eq!(printed.iter().map(Printed::row).collect::<Vec<_>>(), rows, "{what}: {}", output.stderr);
    assert!(printed.iter().all(|it| it.marks.is_empty()), "{what}: {}", output.stdout);
    account.check(&output.ledger()?).map_err(|error| error.context(what.to_owned()))?;
    println!("{what}: {account:?}");
    Ok(account)
}

#[test]
fn megabytes_with_and_without_merging() -> Result<()> {
    for is_ipv6 in [false, true] {
        for (mtu, gro, tso) in
            [(1500, false, false), (1500, true, false), (1500, true, true), (MAX_MTU, true, true)]
        {
            let mut lab = Lab::with_mtu(Habit::SynAndEarly, mtu)?;
            lab.server.set_gro(gro)?;
            lab.balancer.set_tso(tso)?;
            let what = format!("IPv6 {is_ipv6}, MTU {mtu}, GRO {gro}, TSO {tso}");
            let account = check(&mut lab, is_ipv6, &what)?;
            match (mtu, gro) {
                (1500, false) => assert_eq!(account.longest, 1514, "{what}"),
                (1500, true) => assert!(account.longest > 3_700, "{what}: {account:?}"),
                _ => assert!(account.cut > 0, "{what}: {account:?}"),
            }
        }
    }
    Ok(())
}

#[test]
fn big_tcp() -> Result<()> {
    for is_ipv6 in [false, true] {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        for device in [&lab.balancer, &lab.server] {
            device.set_max_size(BIG)?;
        }
        let account = check(&mut lab, is_ipv6, &format!("IPv6 {is_ipv6}, packets of {BIG} bytes"))?;
        // Their length does not fit into the IP header.
        assert!(account.longest > 65_549 && account.cut > 0, "{account:?}");
    }
    Ok(())
}

/// If a packet socket sends a frame larger than a page, only its Ethernet header is contiguous in the kernel.
#[test]
fn headers_that_are_not_in_one_piece() -> Result<()> {
    let lab = Lab::with_mtu(Habit::Syn, MAX_MTU)?;
    let injector = Injector::new(&lab.balancer)?;
    let capture = Capture::start(&lab.server, "tcp port 80 or ip6 or vlan")?;
    let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
    let forms: [fn() -> PacketBuilder; 5] = [
        PacketBuilder::ipv4,
        PacketBuilder::ipv6,
        || PacketBuilder::ipv4().ip_options(&[1; 40]),
        || PacketBuilder::ipv6().extension(routing(136)),
        || PacketBuilder::ipv4().vlan(VLAN, 3).vlan(VLAN, 7),
    ];
    let lengths = [4_096, 9_000, 65_000];
    let mut targets = Vec::new();
    for (number, (form, length)) in
        forms.iter().flat_map(|form| lengths.map(move |length| (form, length))).enumerate()
    {
        let target = format!("/large/{number}");
        let mut payload =
            format!("POST {target} HTTP/1.1\r\nhost: lab\r\ncontent-length: 1000000\r\n\r\n").into_bytes();
        payload.resize(length, b'x');
        // The option area is full, which makes the headers as long as possible.
        let options = [&[1; 32][..], &toa_option(CLIENT.into())].concat();
        let packet = form().source_port(40_000 + u16::try_from(number)?).flags(flags::ACK | flags::PSH);
        injector.send(&packet.options(&options).payload(&payload).build())?;
        targets.push(target);
    }
    wait::until("the last request", || {
        Ok(tool.stdout()?.contains(targets.last().map_or("", String::as_str)).then_some(()))
    })?;
    let count = targets.len();
    let is_ours = |frame: &&Vec<u8>| Account::of(&[(*frame).clone()]).packets == 1;
    let frames = capture.stop_when(|frames| frames.iter().filter(is_ours).count() >= count)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let mut printed: Vec<_> = output.requests()?.into_iter().map(|it| (it.client, it.target)).collect();
    printed.sort_by_key(|(_, target)| targets.iter().position(|it| it == target));
    let expected: Vec<_> = targets.into_iter().map(|target| (CLIENT.into(), target)).collect();
    assert_eq!(printed, expected, "{}", output.stderr);
    let account = Account::of(&frames);
    assert_eq!(account.bytes, 5 * (4_096 + 9_000 + 65_000));
    account.check(&output.ledger()?)
}
