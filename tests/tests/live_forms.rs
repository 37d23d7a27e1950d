//! Every form in which a TOA names a client, in real connections, with both address families for client and
//! packets.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_packets::{oracle::Segment, toa_option::port_address_option};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::{client::Request, tcpdump::Capture},
    process::Signal,
    tool::{
        expected_ledger::Account,
        printed::{Printed, rows_of},
        toa_tc::ToaTc,
    },
};

const IPV4: &str = "203.0.113.9:54321";
const IPV6: &str = "[2001:db8::7]:40000";
const MAPPED: &str = "[::ffff:203.0.113.9]:54321";

/// Whether the packets are IPv6, the option's kind, the client in it, and how it is printed.
type Form = (bool, u8, &'static str, &'static str);

const FORMS: [Form; 7] = [
    (true, 254, IPV6, IPV6),
    (true, 253, IPV6, IPV6),
    // An IPv4 client of an IPv6 server.
    (true, 254, IPV4, IPV4),
    // IPv6 clients of an IPv4 server (NAT64).
    (false, 254, IPV6, IPV6),
    (false, 253, IPV6, IPV6),
    (true, 254, MAPPED, IPV4),
    (false, 253, MAPPED, IPV4),
];

fn check(habit: Habit, (is_ipv6, kind, client, printed_as): Form) -> Result<()> {
    let what = format!("{habit:?}, IPv6 {is_ipv6}, kind {kind}, {client}");
    let mut lab = Lab::new(habit)?;
    let nginx = lab.nginx()?;
    let capture = Capture::start(&lab.server, "tcp port 80")?;
    let tool = ToaTc::attach(&lab.server, &["--ip", printed_as])?;
    let others: [SocketAddr; 2] = ["203.0.113.10:54321".parse()?, "[2001:db8::8]:40000".parse()?];
    let mut watched = lab.connect_over(is_ipv6, &port_address_option(kind, client.parse()?))?;
    let mut unwatched = Vec::new();
    for other in others {
        unwatched.push(lab.connect_over(is_ipv6, &port_address_option(254, other))?);
    }
    for number in 0..3 {
        for connection in unwatched.iter_mut().chain([&mut watched]) {
            let id = format!("{number}-{}", connection.local().port());
            connection.ask(Request::get("/forms").field("x-request-id", &id))?;
        }
    }
    drop(unwatched);
    let port = watched.local().port();
    let rows = rows_of(printed_as.parse()?, &watched);
    drop(watched);
    let mut frames = capture.stop_at_end_of(port)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(nginx.stop()?.len(), 9, "{what}");
    let printed: Vec<_> = output.requests()?.iter().map(Printed::row).collect();
    assert_eq!(printed, rows, "{what}: {}", output.stderr);

    frames.retain(|frame| Segment::of(frame).is_some_and(|segment| segment.source.port() == port));
    Account::of(&frames).check(&output.ledger()?)
}

#[test]
fn a_client_of_either_family_behind_a_balancer_of_either() -> Result<()> {
    FORMS.into_iter().try_for_each(|form| check(Habit::SynAndEarly, form))
}

#[test]
fn the_same_with_unmarked_syns() -> Result<()> {
    FORMS.into_iter().try_for_each(|form| check(Habit::Early, form))
}
