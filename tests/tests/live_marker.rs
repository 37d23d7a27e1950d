//! Tests of the lab itself: tcpdump sees the option on the packets that a habit marks, and on no others.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use toa_packets::{
    oracle::{Segment, options::USUAL},
    toa_option::{port_address_option, toa_option},
};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{client::Request, tcpdump::Capture},
};

const SYN: u8 = 2;

/// A packet as it was received: whether it is a SYN, its payload length, the client in its TOA.
type Seen = (bool, usize, Option<SocketAddr>);

fn packets(frames: &[Vec<u8>], local: SocketAddr) -> Result<Vec<Seen>> {
    let segments = frames.iter().map(|frame| Segment::of(frame).context("no whole TCP packet"));
    let segments = segments.collect::<Result<Vec<_>>>()?;
    let seen = |segment: &Segment| {
        let found = segment.opinion(USUAL).found;
        let toa = found.and_then(|found| Some(SocketAddr::new(found.address, found.port?)));
        (segment.flags() & SYN != 0, segment.payload().len(), toa)
    };
    Ok(segments.iter().filter(|it| it.source.port() == local.port()).map(seen).collect())
}

#[test]
fn each_habit_marks_its_packets_and_no_others() -> Result<()> {
    for habit in Habit::ALL {
        let mut lab = Lab::new(habit)?;
        let nginx = lab.nginx()?;
        let capture = Capture::start(&lab.server, "tcp port 80")?;
        let client: SocketAddr = "203.0.113.9:54321".parse()?;
        let mut marked = lab.connect(Some(client))?;
        let mut plain = lab.connect(None)?;
        for number in 0..3 {
            marked.ask(Request::get(&format!("/marked/{number}")))?;
            plain.ask(Request::get(&format!("/plain/{number}")))?;
        }
        let (marked_local, plain_local) = (marked.local(), plain.local());
        drop(marked);
        drop(plain);
        let frames = capture.stop_at_end_of(plain_local.port())?;
        assert_eq!(nginx.stop()?.len(), 6);

        let seen = packets(&frames, marked_local)?;
        // SYN, ACK, request, then further requests and acknowledgments of answers.
        assert!(seen.len() >= 6, "{habit:?}: {seen:?}");
        let marks: Vec<bool> = seen.iter().map(|(_, _, toa)| toa.is_some()).collect();
        let expected = match habit {
            Habit::Syn => [true, false, false],
            Habit::SynAndEarly => [true, true, true],
            Habit::Early => [false, true, true],
            Habit::HandshakeAck => [false, true, false],
            Habit::FirstData => [false, false, true],
        };
        assert_eq!(marks[..3], expected, "{habit:?}: {seen:?}");
        assert!(marks[3..].iter().all(|marked| !marked), "{habit:?}: {seen:?}");
        assert!(seen.iter().all(|(_, _, toa)| toa.is_none_or(|toa| toa == client)), "{habit:?}: {seen:?}");
        assert!(seen[0].0 && seen[1] == (false, 0, seen[1].2) && seen[2].1 > 0, "{habit:?}: {seen:?}");
        assert_eq!(lab.marker.option_of(marked_local)?, Some(toa_option(client)));

        assert!(packets(&frames, plain_local)?.iter().all(|(_, _, toa)| toa.is_none()), "{habit:?}");
        assert_eq!(lab.marker.option_of(plain_local)?, None);
    }
    Ok(())
}

#[test]
fn any_option_can_be_written() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let client = "[2001:db8::7]:40000".parse()?;
    for option in [
        port_address_option(200, "203.0.113.9:1".parse()?),
        port_address_option(253, client),
        toa_option(client),
        vec![28, 7, 1, 203, 0, 113, 9],
    ] {
        let capture = Capture::start(&lab.server, "tcp[tcpflags] & tcp-syn != 0")?;
        let bound = lab.bind()?;
        lab.marker.assign(bound.local(), &option)?;
        bound.connect(nginx_address())?.ask(Request::get("/"))?;
        let frames = capture.stop_when(|frames| !frames.is_empty())?;
        let options = Segment::of(&frames[0]).context("no whole TCP packet")?.options();
        assert!(options.windows(option.len()).any(|window| window == option), "{options:x?}");
    }
    assert_eq!(nginx.stop()?.len(), 4);
    Ok(())
}

#[test]
fn connections_without_an_assigned_option_take_the_next_one() -> Result<()> {
    let mut lab = Lab::new(Habit::Early)?;
    let nginx = lab.nginx()?;
    let options: Vec<_> = (1..=3).map(|number| toa_option(([203, 0, 113, number], 7).into())).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let connections = [lab.connect(None)?, lab.connect(None)?, lab.connect(None)?, lab.connect(None)?];
    for (connection, option) in connections.iter().zip(&options) {
        assert_eq!(lab.marker.option_of(connection.local())?.as_ref(), Some(option));
    }
    assert_eq!(lab.marker.options()?.len(), 3);
    drop(connections);
    assert!(nginx.stop()?.is_empty());
    Ok(())
}

#[test]
fn two_labs_do_not_meet() -> Result<()> {
    let mut labs = [Lab::new(Habit::Syn)?, Lab::new(Habit::SynAndEarly)?];
    let clients: [SocketAddr; 2] = ["203.0.113.1:1".parse()?, "203.0.113.2:2".parse()?];
    for (lab, client) in labs.iter_mut().zip(clients) {
        let nginx = lab.nginx()?;
        let capture = Capture::start(&lab.server, "tcp port 80")?;
        let mut connection = lab.connect(Some(client))?;
        connection.ask(Request::get("/"))?;
        let local = connection.local();
        drop(connection);
        let seen = packets(&capture.stop_at_end_of(local.port())?, local)?;
        assert_eq!(nginx.stop()?.len(), 1);
        assert_eq!(seen[0].2, Some(client));
        assert!(seen.iter().all(|(_, _, toa)| toa.is_none_or(|toa| toa == client)), "{seen:?}");
    }
    Ok(())
}
