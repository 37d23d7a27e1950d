//! A small TCP client that writes its segments by hand, so that a test can add any others.

use std::time::{Duration, Instant};

use anyhow::Result;
use toa_packets::builder::{
    PacketBuilder,
    flags::{ACK, FIN, PSH, RST, SYN},
};

use crate::lab::{
    marker::Habit,
    raw::{Answer, Station},
};

/// How long an answer may take before a segment is sent again.
pub const RETRANSMIT: Duration = Duration::from_millis(400);
/// Tries to open a connection.
const TRIES: u32 = 3;
/// How many packets after the SYN are early.
const EARLY: u32 = 3;
/// What every response begins with.
const RESPONSE: &[u8] = b"HTTP/1.1 ";

/// How far a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The server has not answered the SYN.
    Opening,
    /// Open.
    Open,
    /// The server has sent a FIN.
    Closing,
    /// The server has sent a RST.
    Reset,
}

/// How a connection is marked.
#[derive(Clone, Debug)]
pub struct Marking {
    /// Which packets are marked.
    pub habit: Habit,
    /// The option.
    pub toa: Vec<u8>,
}

/// The client's side of a connection.
#[derive(Debug)]
pub struct RawClient<'a> {
    station: &'a Station,
    /// The port.
    pub port: u16,
    /// The sequence number of the SYN.
    pub isn: u32,
    /// The sequence number of the next new byte.
    pub next: u32,
    /// What the server has acknowledged.
    pub acknowledged: u32,
    /// What was received from the server.
    pub received: u32,
    /// How far it is.
    pub state: State,
    /// The current value of the timestamps option, if that is in use.
    pub timestamp: Option<u32>,
    /// How many responses have begun.
    pub responses: usize,
    /// The segments so far, for error messages.
    pub trace: Vec<String>,
    /// Whether a packet was marked.
    pub is_marked: bool,
    marking: Marking,
    early: u32,
}

impl<'a> RawClient<'a> {
    /// Creates a client, which has not sent anything yet.
    pub fn new(station: &'a Station, port: u16, isn: u32, marking: Marking, timestamp: Option<u32>) -> Self {
        Self {
            station,
            port,
            isn,
            next: isn.wrapping_add(1),
            acknowledged: isn,
            received: 0,
            state: State::Opening,
            timestamp,
            responses: 0,
            trace: Vec::new(),
            is_marked: false,
            marking,
            early: 0,
        }
    }

    /// Returns a packet without a TOA, as the client would send it.
    pub fn packet(&self, flags: u8, seq: u32, payload: &[u8]) -> PacketBuilder {
        let packet = self.station.packet(self.port).flags(flags).numbers(seq, self.received);
        packet.payload(payload).options(&self.options(flags, self.timestamp))
    }

    /// Returns the options of a packet without a TOA.
    pub fn options(&self, flags: u8, timestamp: Option<u32>) -> Vec<u8> {
        let mut options = Vec::new();
        if flags & SYN != 0 {
            options.extend([2, 4, 5, 0xb4]);
        }
        if let Some(timestamp) = timestamp {
            options.extend([1, 1, 8, 10]);
            options.extend(timestamp.to_be_bytes());
            // No echo: a server compares only one that is not 0.
            options.extend([0; 4]);
        }
        options
    }

    /// Sends a segment of the client's own, marked as its balancer does.
    pub fn send(&mut self, flags: u8, seq: u32, payload: &[u8]) -> Result<()> {
        self.send_urgent(flags, seq, payload, None)
    }

    /// Does the same, with an urgent pointer: the offset after the urgent byte.
    pub fn send_urgent(&mut self, flags: u8, seq: u32, payload: &[u8], urgent: Option<u16>) -> Result<()> {
        self.timestamp = self.timestamp.map(|timestamp| timestamp.wrapping_add(1));
        let is_syn = flags & SYN != 0;
        let is_first = seq == self.isn.wrapping_add(1);
        let is_marked = match self.marking.habit {
            Habit::Syn => is_syn,
            Habit::SynAndEarly => is_syn || self.early < EARLY,
            Habit::Early => !is_syn && self.early < EARLY,
            Habit::HandshakeAck => !is_syn && self.early == 0,
            Habit::FirstData => is_first && !payload.is_empty(),
        };
        self.is_marked |= is_marked;
        self.early += u32::from(!is_syn);
        let mut packet = self.packet(flags, seq, payload);
        if is_marked {
            packet =
                packet.options(&[self.options(flags, self.timestamp), self.marking.toa.clone()].concat());
        }
        if let Some(pointer) = urgent {
            packet = packet.urgent(pointer);
        }
        self.inject(if is_marked { "marked" } else { "own" }, flags, seq, payload.len(), &packet)
    }

    /// Sends any packet. The other arguments are for error messages.
    pub fn inject(
        &mut self,
        what: &str,
        flags: u8,
        seq: u32,
        len: usize,
        packet: &PacketBuilder,
    ) -> Result<()> {
        let offset = seq.wrapping_sub(self.isn).cast_signed();
        self.trace.push(format!("{what}: flags {flags:#04x} at {offset}, {len} bytes"));
        self.station.send(packet)
    }

    /// Opens the connection up to the server's answer. If the server still has another one with the same ports, resets
    /// that one first, as a host does that does not know it (RFC 9293 section 3.10.7.3).
    pub fn open(&mut self) -> Result<bool> {
        while self.station.inbox().try_recv().is_ok() {}
        for _ in 0..TRIES {
            self.send(SYN, self.isn, &[])?;
            self.wait(|client| client.state != State::Opening)?;
            match self.state {
                State::Open => return Ok(true),
                State::Reset => return Ok(false),
                State::Opening | State::Closing => {}
            }
        }
        Ok(false)
    }

    /// Takes what the server sends until `condition` holds or nothing arrives any more. Returns whether it holds.
    pub fn wait(&mut self, condition: impl Fn(&Self) -> bool) -> Result<bool> {
        let deadline = Instant::now() + RETRANSMIT;
        while !condition(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(answer) = self.station.inbox().recv_timeout(left) else {
                return Ok(false);
            };
            if answer.port == self.port {
                self.take(&answer)?;
            }
        }
        Ok(true)
    }

    /// Returns whether the server takes more requests.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    fn take(&mut self, answer: &Answer) -> Result<()> {
        let Answer { flags, seq, ack, ref payload, .. } = *answer;
        if flags & RST != 0 {
            self.trace.push("the server resets".to_owned());
            self.state = State::Reset;
            return Ok(());
        }
        if self.state == State::Opening {
            return self.take_first(answer);
        }
        if ack.wrapping_sub(self.acknowledged).cast_signed() > 0 {
            self.acknowledged = ack;
        }
        if seq != self.received {
            // A repeated one: its ACK may have been lost.
            return if payload.is_empty() { Ok(()) } else { self.send(ACK, self.next, &[]) };
        }
        let responses = payload.windows(RESPONSE.len()).filter(|window| *window == RESPONSE).count();
        self.responses += responses;
        let len = u32::try_from(payload.len())? + u32::from(flags & FIN != 0);
        self.received = self.received.wrapping_add(len);
        if flags & FIN != 0 {
            self.trace.push("the server closes".to_owned());
            self.state = State::Closing;
        }
        if len > 0 { self.send(ACK, self.next, &[]) } else { Ok(()) }
    }

    /// Takes a segment before the connection is open.
    fn take_first(&mut self, answer: &Answer) -> Result<()> {
        if answer.flags & SYN != 0 && answer.ack == self.next {
            self.received = answer.seq.wrapping_add(1);
            self.acknowledged = answer.ack;
            self.state = State::Open;
            return Ok(());
        }
        // A challenge of the server's old connection (RFC 5961 section 4.2).
        let reset = self.station.packet(self.port).flags(RST).numbers(answer.ack, 0);
        self.inject("reset of the old connection", RST, answer.ack, 0, &reset)?;
        self.send(SYN, self.isn, &[])
    }

    /// Sends a FIN.
    pub fn finish(&mut self) -> Result<()> {
        self.send(FIN | ACK, self.next, &[])?;
        self.next = self.next.wrapping_add(1);
        let is_over = |client: &Self| client.state != State::Open || client.acknowledged == client.next;
        self.wait(is_over).map(drop)
    }

    /// Sends a RST wherever the server may expect it.
    pub fn reset(&mut self) -> Result<()> {
        self.send(RST | ACK, self.acknowledged, &[])?;
        self.send(RST | ACK, self.next, &[])
    }

    /// Sends bytes at a position without moving on.
    pub fn send_at(&mut self, seq: u32, payload: &[u8]) -> Result<()> {
        self.send(ACK | PSH, seq, payload)
    }
}
