//! Somebody uploads request lines while packets are lost. No part of a body is printed as a request without a mark, and
//! each request that is missing is on a connection of which a gap is reported.
#![cfg(feature = "kernel")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    http_rows::sent_head::SentHead,
    lab::{Lab, SERVER, marker::Habit},
    peers::{
        client::{Connection, Request},
        nginx::{Also, LENIENT_PORT, Nginx, Setup},
    },
    process::Signal,
    tool::{
        json_lines::{JsonConnection, JsonLines, JsonRequest},
        toa_tc::ToaTc,
    },
    wait,
};

const CONNECTIONS: u16 = 12;
const UPLOADS: u32 = 4;
/// Approximate length of a body.
const BODY: usize = 100_000;
/// Longest piece that is sent at once.
const PIECE: usize = 12_000;
/// A ring holds about as much as one piece.
const RING: &str = "16384";

/// How a body is delimited.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
}

/// An uploading connection.
struct Uploader {
    connection: Connection,
    /// What is still to be sent.
    rest: Vec<u8>,
    heads: Vec<SentHead>,
}

/// Returns complete heads, some with a body that would reach far.
fn body(connection: u16, random: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < BODY {
        let number = body.len();
        let (method, field) = match random.u8(..8) {
            0 => ("POST", "Content-Length: 5000\r\n"),
            1 => ("PUT", "Transfer-Encoding: chunked\r\n"),
            _ => ("GET", ""),
        };
        let head = format!("{method} /phantom/{connection}/{number} HTTP/1.1\r\nHost: lab\r\n{field}");
        body.extend([head.as_bytes(), b"X-Team: victim\r\n\r\n"].concat());
    }
    body
}

impl Uploader {
    fn new(connection: Connection, number: u16, framing: Framing, random: &mut Rng) -> Self {
        let mut this = Self { connection, rest: Vec::new(), heads: Vec::new() };
        for upload in 0..UPLOADS {
            this.head(&format!("GET /real/{number}/{upload} HTTP/1.1\r\nHost: lab\r\n\r\n"));
            let body = body(number, random);
            let line = format!("POST /upload/{number}/{upload} HTTP/1.1\r\nHost: lab\r\n");
            match framing {
                Framing::Length => {
                    this.head(&format!("{line}Content-Length: {}\r\n\r\n", body.len()));
                    this.rest.extend(&body);
                }
                Framing::Chunked => {
                    this.head(&format!("{line}Transfer-Encoding: chunked\r\n\r\n"));
                    let mut left = &body[..];
                    while !left.is_empty() {
                        let (chunk, behind) = left.split_at(random.usize(1..9000).min(left.len()));
                        left = behind;
                        this.rest
                            .extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                    }
                    this.rest.extend(b"0\r\n\r\n");
                }
            }
        }
        this
    }

    fn head(&mut self, head: &str) {
        self.heads.push(SentHead::read(head.as_bytes()));
        self.rest.extend(head.as_bytes());
    }

    fn send(&mut self, len: usize) -> Result<()> {
        let piece: Vec<u8> = self.rest.drain(..len.min(self.rest.len())).collect();
        Ok(self.connection.stream().write_all(&piece)?)
    }

    /// Sends the last request and checks that the server has answered all.
    fn finish(&mut self, number: u16) -> Result<()> {
        self.head(&format!("GET /last/{number} HTTP/1.1\r\nHost: lab\r\n\r\n"));
        self.send(usize::MAX)?;
        self.connection.stream().shutdown(Shutdown::Write)?;
        let mut answers = String::new();
        self.connection.stream().read_to_string(&mut answers)?;
        ensure!(answers.matches("HTTP/1.1 200 ").count() == self.heads.len(), "{answers}");
        Ok(())
    }
}

/// Stops the tool. Returns once it stands still.
fn stop(tool: &mut ToaTc) -> Result<()> {
    tool.process().signal(Signal::Stop)?;
    let path = format!("/proc/{}/stat", tool.id());
    wait::until("toa-tc to stand still", || {
        let stat = fs::read_to_string(&path)?;
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'));
        Ok((state == Some(true)).then_some(()))
    })
}

/// Continues the tool. Returns once it has printed a request that was sent since.
fn go_on(tool: &mut ToaTc, control: &mut Connection) -> Result<()> {
    tool.process().signal(Signal::Continue)?;
    let first = control.sent().len();
    wait::until("toa-tc to catch up", || {
        // Until there is room, these are lost as well.
        control.ask(Request::get(&format!("/control/{}/", control.sent().len())))?;
        let printed = tool.stdout()?;
        let is_printed = |number| printed.contains(&format!("/control/{number}/"));
        Ok((first..control.sent().len()).any(is_printed).then_some(()))
    })
}

/// Opens a connection of a client from this port.
fn connect(lab: &mut Lab, port: u16) -> Result<Connection> {
    let bound = lab.bind()?;
    lab.marker.assign(bound.local(), &toa_option(SocketAddr::from(([203, 0, 113, 9], port))))?;
    bound.connect(SocketAddr::new(SERVER.into(), LENIENT_PORT))
}

fn check(habit: Habit, framing: Framing) -> Result<()> {
    let seed = fastrand::u64(..);
    println!("{habit:?}, {framing:?}: seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut lab = Lab::new(habit)?;
    let setup = Setup { also: Also::Rows, ..Setup::default() };
    let nginx = Nginx::start_with(&lab.server.namespace, setup)?;
    let mut tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--ring-size", RING])?;
    let mut control = connect(&mut lab, 1)?;
    let mut uploaders = Vec::new();
    for number in 0..CONNECTIONS {
        let connection = connect(&mut lab, 1000 + number)?;
        uploaders.push(Uploader::new(connection, number, framing, &mut random));
    }

    let mut is_stopped = false;
    while uploaders.iter().any(|uploader| !uploader.rest.is_empty()) {
        for uploader in &mut uploaders {
            if random.u8(..16) == 0 {
                if is_stopped {
                    go_on(&mut tool, &mut control)?;
                } else {
                    stop(&mut tool)?;
                }
                is_stopped = !is_stopped;
            }
            uploader.send(random.usize(1..PIECE))?;
        }
    }
    go_on(&mut tool, &mut control)?;
    for (number, uploader) in (0..).zip(&mut uploaders) {
        uploader.finish(number)?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    for logged in nginx.stop_for_lines()? {
        ensure!(
            logged.status == 200 && !logged.line.escape_ascii().to_string().contains("phantom"),
            "{logged:?}"
        );
    }

    let printed = JsonLines::parse(&output.stdout)?;
    let (mut missing, mut phantoms) = (0, 0);
    for uploader in &uploaders {
        let port = uploader.connection.local().port();
        let connection = printed.connections.get(&port).with_context(|| format!("nothing of {port}"))?;
        let (missing_here, phantoms_here) = count(&uploader.heads, connection)?;
        let shown =
            || format!("{missing_here} requests are missing of {port} without a gap: {}", output.stderr);
        ensure!(missing_here == 0 || !connection.gaps.is_empty(), shown());
        (missing, phantoms) = (missing + missing_here, phantoms + phantoms_here);
    }
    let ledger = output.ledger()?;
    ledger.check()?;
    let sent: usize = uploaders.iter().map(|uploader| uploader.heads.len()).sum();
    let lost = ledger.packets("lost")?;
    println!("{sent} sent, {missing} missing; {phantoms} phantoms, all marked; {lost} packets lost");
    assert!(lost > 0, "nothing was lost: the test shows nothing: {}", output.stderr);
    assert!(missing < sent, "{}", output.stderr);
    let found = printed.remarks.get("resynchronized_requests").copied().unwrap_or_default();
    assert!(found >= phantoms, "{found} counted, {phantoms} printed");
    Ok(())
}

/// Returns how many of the sent requests are missing, and how many parts of bodies are printed with a mark.
fn count(sent: &[SentHead], connection: &JsonConnection) -> Result<(usize, u64)> {
    let mut left: Vec<&SentHead> = sent.iter().collect();
    let mut phantoms = 0;
    for request in &connection.requests {
        let is_it = |head: &&SentHead| (&head.method, &head.target) == (&request.method, &request.target);
        match left.iter().position(is_it) {
            Some(at) => {
                let head = left.remove(at);
                let is_whole = request.incomplete.is_some() || request.fields == head.fields;
                ensure!(is_whole, "not as it was sent: {}", shown(request));
            }
            // A gap may be in the line.
            None if request.incomplete.is_some()
                && sent.iter().any(|it| it.target.starts_with(&request.target)) => {}
            None => {
                ensure!(request.marks.contains(&"resynchronized"), "believed: {}", shown(request));
                phantoms += 1;
            }
        }
    }
    Ok((left.len(), phantoms))
}

fn shown(request: &JsonRequest) -> String {
    format!("{} {} {:?}", request.method.escape_ascii(), request.target.escape_ascii(), request.marks)
}

#[test]
fn no_part_of_a_body_of_known_length_is_believed() -> Result<()> {
    check(Habit::SynAndEarly, Framing::Length)
}

#[test]
fn no_part_of_a_chunked_body_is_believed() -> Result<()> {
    check(Habit::SynAndEarly, Framing::Chunked)
}

#[test]
fn no_part_of_a_body_is_believed_where_the_first_data_names_the_client() -> Result<()> {
    check(Habit::FirstData, Framing::Length)?;
    check(Habit::FirstData, Framing::Chunked)
}
