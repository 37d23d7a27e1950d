//! What is sent on one connection.

use std::ops::Range;

use anyhow::Result;
use fastrand::Rng;
use toa_packets::{
    builder::flags::{ACK, FIN, PSH, SYN},
    toa_option::toa_option,
};

use toa_common::wire::toa_pairs::TCP_AO_KIND;
use toa_userspace::live::host::tcp;

use super::{
    forgery::{Forgery, Knowledge},
    sent::{ID_DIGITS, Sent},
};
use crate::{
    lab::{marker::Habit, raw::Station},
    peers::raw_client::{Marking, RETRANSMIT, RawClient},
};

/// Requests of a connection at most.
const REQUESTS: u32 = 4;
/// How often a request is sent again.
const TRIES: u32 = 3;
const _: () = assert!(RETRANSMIT.as_millis() > 200, "longer than the server delays its ACKs");

/// A connection that is being sent.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Script<'a, 'b> {
    client: RawClient<'a>,
    random: &'b mut Rng,
    id: u32,
    is_watched: bool,
    is_clean: bool,
    discards_signed: bool,
    forged: u32,
    is_late: bool,
}

/// Sends a connection and returns what was sent. A clean one has no forgeries.
pub fn run(station: &Station, port: u16, id: u32, is_clean: bool, random: &mut Rng) -> Result<Sent> {
    let is_watched = is_clean || random.u8(0..5) > 0;
    let network = if is_watched { [203, 0, 113] } else { [198, 51, 100] };
    let [a, b, c] = network;
    let client_address = ([a, b, c, random.u8(1..200)], random.u16(1024..)).into();
    let habit = random.choice(Habit::ALL).unwrap_or(Habit::SynAndEarly);
    let marking = Marking { habit, toa: toa_option(client_address) };
    let timestamp = random.bool().then(|| random.u32(..));
    let client = RawClient::new(station, port, random.u32(..), marking, timestamp);
    let discards_signed = !tcp::ignored_options().contains(&TCP_AO_KIND);
    let mut script =
        Script { client, random, id, is_watched, is_clean, discards_signed, forged: 0, is_late: false };
    script.client.trace.push(format!("{habit:?}, client {client_address}"));
    script.run()?;
    let Script { client, is_late, .. } = script;
    let left_open = client.is_open().then_some([client.acknowledged, client.next]);
    Ok(Sent {
        id,
        client: client_address,
        peer: station.local(port),
        is_late,
        left_open,
        trace: client.trace,
    })
}

impl Script<'_, '_> {
    fn chance(&mut self, of_100: u8) -> bool {
        self.random.u8(0..100) < of_100
    }

    fn run(&mut self) -> Result<()> {
        if !self.is_clean && self.chance(5) {
            // Without a cookie, a server ignores the payload (RFC 7413).
            let bytes = self.false_request();
            self.client.send(SYN, self.client.isn, &bytes)?;
        }
        if !self.client.open()? {
            return Ok(());
        }
        if self.chance(80) {
            self.client.send(ACK, self.client.next, &[])?;
        }
        self.forge(15, self.client.next)?;
        let requests = self.random.u32(1..=REQUESTS);
        for number in 0..requests {
            let is_last = number + 1 == requests;
            let closes = is_last && self.chance(20);
            let bytes = self.request(number, closes);
            if !self.ask(&bytes, is_last)? {
                return self.client.reset();
            }
            if closes {
                // A server logs the request once the connection is closed.
                self.client.wait(|client| !client.is_open())?;
                return self.client.reset();
            }
            self.forge(20, self.client.next)?;
        }
        match self.random.u8(0..4) {
            0 => self.client.reset(),
            // Left open: the next connection may find it.
            1 => Ok(()),
            _ => self.client.finish(),
        }
    }

    /// Returns a request. Its body, if any, looks like another request.
    fn request(&mut self, number: u32, closes: bool) -> Vec<u8> {
        // Of one length, so that one that is cut off is not another's.
        let id = format!("{:0width$}", self.id, width = ID_DIGITS);
        let team: String = (0..8).map(|_| self.random.lowercase()).collect();
        let bait = format!("GET /bait/{id}/{number} HTTP/1.1\r\nHost: lab\r\n\r\n");
        let close = if closes { "Connection: close\r\n" } else { "" };
        let fields = format!("Host: lab\r\n{close}x-request-id: {id}-{number}\r\nx-team: {team}\r\n");
        let target = format!("/own/{id}/{number}");
        let request = match self.random.u8(0..4) {
            0 => format!("POST {target} HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n{bait}", bait.len()),
            1 => {
                let chunk = format!("{:x}\r\n{bait}\r\n0\r\n\r\n", bait.len());
                format!("POST {target} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunk}")
            }
            _ => format!("GET {target} HTTP/1.1\r\n{fields}\r\n"),
        };
        request.into_bytes()
    }

    /// Returns a request that the client does not send.
    fn false_request(&mut self) -> Vec<u8> {
        self.forged += 1;
        let Self { id, forged, .. } = self;
        let target = format!("/forged/{id:0ID_DIGITS$}/{forged}");
        format!("GET {target} HTTP/1.1\r\nHost: lab\r\nx-request-id: f\r\nx-team: forged\r\n\r\n")
            .into_bytes()
    }

    /// Sends a forged segment in so many of 100 cases, sometimes several. `tip` is what the server expects next.
    fn forge(&mut self, of_100: u8, tip: u32) -> Result<()> {
        while !self.is_clean && self.client.is_open() && self.chance(of_100) {
            let bytes = self.false_request();
            let forgery = Forgery::told(self.knowledge(tip), self.random);
            let (packet, flags, seq) = forgery.packet(&self.client, tip, &bytes, self.random);
            self.client.inject(&format!("{forgery:?}"), flags, seq, bytes.len(), &packet)?;
        }
        Ok(())
    }

    /// Returns what the tool can know of the connection so far.
    fn knowledge(&self, tip: u32) -> Knowledge {
        Knowledge {
            is_watched: self.is_watched,
            is_marked: self.client.is_marked,
            discards_signed: self.discards_signed,
            has_begun: tip.wrapping_sub(self.client.isn) > 1,
        }
    }

    /// Sends a request in segments and waits for the response. Returns whether there is one.
    fn ask(&mut self, bytes: &[u8], is_last: bool) -> Result<bool> {
        let mut bytes = bytes.to_vec();
        // A server does not hand on the urgent byte.
        let urgent = (!self.is_clean && self.chance(5)).then(|| self.random.usize(0..bytes.len()));
        if let Some(at) = urgent {
            bytes.insert(at, b'!');
        }
        let start = self.client.next;
        let end = start.wrapping_add(u32::try_from(bytes.len())?);
        let expected = self.client.responses + 1;
        let has_fin = is_last && self.chance(10);
        let mut there = vec![false; bytes.len()];
        for (range, is_false) in self.segments(bytes.len(), urgent.is_some()) {
            let seq = start.wrapping_add(u32::try_from(range.start)?);
            let mut part = bytes.get(range.clone()).unwrap_or_default().to_vec();
            let flags = if has_fin && range.end == bytes.len() { ACK | PSH | FIN } else { ACK | PSH };
            // Before its first mark, no one knows that the connection is watched.
            if is_false && !self.client.is_marked {
                continue;
            }
            if is_false {
                self.spoil(&mut part);
                let packet = self.client.packet(ACK | PSH, seq, &part);
                self.client.inject("other bytes", ACK | PSH, seq, part.len(), &packet)?;
            } else {
                let pointer = urgent.filter(|at| range.contains(at)).map(|at| at - range.start + 1);
                // 0 also means the first byte.
                let pointer = pointer.map(|at| if at == 1 && self.random.bool() { 0 } else { at });
                self.client.send_urgent(flags, seq, &part, pointer.map(u16::try_from).transpose()?)?;
                self.is_late |= !self.client.is_marked;
            }
            there.iter_mut().take(range.end).skip(range.start).for_each(|it| *it = true);
            let tip = there.iter().take_while(|it| **it).count();
            self.client.next = start.wrapping_add(u32::try_from(tip)?);
            if tip < bytes.len() {
                self.forge(10, self.client.next)?;
            }
        }
        self.client.next = end.wrapping_add(u32::from(has_fin));
        let is_done = |client: &RawClient<'_>| client.responses >= expected || !client.is_open();
        for _ in 0..TRIES {
            if self.client.wait(is_done)? || self.client.acknowledged == self.client.next {
                // Without a response to all bytes, the server has others than these.
                break;
            }
            self.client.send_at(start, &bytes)?;
        }
        Ok(self.client.responses >= expected && self.client.is_open() && !has_fin)
    }

    /// Cuts `len` bytes into segments, which may overlap, repeat and come in any order. The second value says that the
    /// bytes are to be others. Plain ones do not overlap and are in order.
    fn segments(&mut self, len: usize, is_plain: bool) -> Vec<(Range<usize>, bool)> {
        let mut cuts: Vec<usize> = (0..self.random.usize(0..5)).map(|_| self.random.usize(1..len)).collect();
        cuts.extend([0, len]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut segments: Vec<_> =
            cuts.iter().zip(cuts.iter().skip(1)).map(|(from, to)| (*from..*to, false)).collect();
        if self.is_clean || is_plain {
            return segments;
        }
        if self.chance(20) {
            for (range, _) in &mut segments {
                let before = self.random.usize(0..20);
                *range = range.start.saturating_sub(before)..(range.end + self.random.usize(0..20)).min(len);
            }
        }
        for (of_100, is_false) in [(20, false), (8, true)] {
            while self.chance(of_100) {
                let start = self.random.usize(0..len);
                let range = start..self.random.usize(start + 1..=len);
                segments.insert(self.random.usize(0..=segments.len()), (range, is_false));
            }
        }
        if self.chance(30) {
            self.random.shuffle(&mut segments);
        }
        segments
    }

    /// Changes letters and digits, so that the request stays one.
    fn spoil(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if byte.is_ascii_lowercase() && self.random.bool() {
                *byte = u8::try_from(self.random.lowercase()).unwrap_or(b'x');
            }
        }
    }
}
