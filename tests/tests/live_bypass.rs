//! Bytes that are known to be a body are not copied. A large upload of a watched client costs next to
//! nothing, and the request that follows it is found.
#![cfg(feature = "kernel")]

use std::{io::Write as _, net::SocketAddr, time::Duration};

use anyhow::Result;
use socket2::SockRef;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::client::{Bound, Connection, Request},
    process::Signal,
    tool::{
        printed::{Printed, rows_of},
        toa_tc::ToaTc,
    },
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
/// Bytes of an upload.
const UPLOAD: usize = 1 << 30;

fn request(id: &str) -> Request {
    Request::get(&format!("/{id}")).field("x-request-id", id).field("x-team", "orders")
}

fn upload(id: &str, len: usize) -> Request {
    Request::post(&format!("/{id}"), len).field("x-request-id", id).field("x-team", "orders")
}

/// Sends requests on a watched connection, those of each list in one piece. All must be printed, without a mark. Returns how
/// many bytes were copied, and of how many.
fn copied(pieces: Vec<Vec<Request>>) -> Result<(u64, u64)> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let client = SocketAddr::from(CLIENT);
    let tool = ToaTc::attach(&lab.server, &["--ip", &client.to_string()])?;
    let mut connection = lab.connect(Some(client))?;
    for piece in pieces {
        connection.pipeline(piece)?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;

    let printed = output.requests()?;
    assert_eq!(printed.iter().map(Printed::row).collect::<Vec<_>>(), rows_of(client, &connection));
    assert!(printed.iter().all(|request| request.marks.is_empty()), "{}", output.stderr);
    let ledger = output.ledger()?;
    ledger.check()?;
    // More, if something is sent again.
    assert!(ledger.bytes("matched")? >= connection.sent_bytes() as u64, "{}", output.stderr);
    Ok((ledger.bytes("delivered")? + ledger.bytes("cut")? + ledger.bytes("lost")?, ledger.bytes("matched")?))
}

#[test]
fn an_upload_of_a_gigabyte_is_hardly_copied_and_both_its_neighbours_are_printed() -> Result<()> {
    let pieces = [request("before"), upload("upload", UPLOAD), request("after")].map(|it| vec![it]);
    let (copied, of) = copied(pieces.into())?;
    println!("{copied} of {of} bytes copied");
    assert!(copied * 100 <= of, "{copied} of {of}");
    Ok(())
}

#[test]
fn bodies_are_hardly_copied_however_short_the_way_and_whatever_the_framing() -> Result<()> {
    let kib = 1 << 10;
    let framings = [
        ("length", None),
        ("chunks of 1,000 bytes", Some(1000)),
        ("chunks of 8 KiB", Some(8 * kib)),
        ("chunks of 64 KiB", Some(64 * kib)),
    ];
    for (len, times, framings) in [
        (10_000, 100, &framings[..]),
        (200_000, 50, &framings),
        // The kernel may lose its place in a long chunked body, and the rest of it is copied.
        (10 * kib * kib, 5, &framings[..1]),
    ] {
        for (name, chunk) in framings {
            let upload = |id: &str| chunk.iter().fold(upload(id, len), |it, chunk| it.in_chunks(*chunk));
            let mut pieces = vec![vec![request("first")]];
            for number in 0..times {
                pieces.push(vec![upload(&format!("upload-{number}"))]);
                pieces.push(vec![request(&format!("after-{number}"))]);
            }
            pieces.push(vec![upload("last"), request("behind")]);
            let (copied, of) = copied(pieces)?;
            println!("{len} bytes, {name}: {copied} of {of} bytes copied");
            assert!(copied * 20 <= of, "{len} bytes, {name}: {copied} of {of}");
        }
    }
    Ok(())
}

/// Sends the head and a part of an upload and resets the connection.
fn break_off(mut connection: Connection, bytes: usize) -> Result<()> {
    let head = format!("POST /upload HTTP/1.1\r\nhost: lab\r\ncontent-length: {UPLOAD}\r\n\r\n");
    connection.stream().write_all(head.as_bytes())?;
    connection.stream().write_all(&vec![b'x'; bytes])?;
    SockRef::from(&*connection.stream()).set_linger(Some(Duration::ZERO))?;
    Ok(())
}

#[test]
fn an_upload_that_is_broken_off_hides_nothing_of_the_next_connection() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let client = SocketAddr::from(CLIENT);
    let tool = ToaTc::attach(&lab.server, &["--ip", &client.to_string()])?;
    let bound = lab.bind()?;
    let local = bound.local();
    lab.marker.assign(local, &toa_option(client))?;
    for round in 0..4 {
        let bound = Bound::new(&lab.balancer.namespace, local)?;
        lab.marker.assign(local, &toa_option(client))?;
        let mut connection = bound.connect(nginx_address())?;
        connection.ask(request(&format!("first-{round}")))?;
        break_off(connection, 64 << 20)?;
    }
    drop(bound);
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let targets: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
    let expected: Vec<_> =
        (0..4).flat_map(|round| [format!("/first-{round}"), "/upload".to_owned()]).collect();
    assert_eq!(targets, expected, "{}", output.stderr);
    let ledger = output.ledger()?;
    ledger.check()?;
    assert!(ledger.bytes("bypassed")? > 0, "{}", output.stderr);
    Ok(())
}
