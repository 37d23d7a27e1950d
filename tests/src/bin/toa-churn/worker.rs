//! One process of the server: does with each connection what its requests ask.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{
        PollFd, PollFlags,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        poll,
    },
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use toa_tests::peers::churn::{Counts, answer};

use crate::decoys::Decoys;

/// Epoll event data. Connections get higher numbers, each used once.
const STDIN: u64 = 0;
const LISTENER: u64 = 1;
const INBOX: u64 = 2;

/// The byte sent along with a passed connection: whether its last request still needs an answer.
const ANSWERED: u8 = 0;
const UNANSWERED: u8 = 1;

/// Why a worker exits.
pub(crate) enum End {
    /// A request asked for it.
    Replaced,
    /// The server shuts down.
    Finished,
}

/// A process of the server.
pub(crate) struct Worker<'a> {
    epoll: OwnedFd,
    listener: &'a TcpListener,
    inbox: &'a OwnedFd,
    outbox: &'a OwnedFd,
    is_edge_triggered: bool,
    connections: HashMap<u64, TcpStream>,
    next: u64,
    /// Received connections that the sending worker has not closed yet.
    coming: VecDeque<TcpStream>,
    decoys: Decoys,
    counts: Counts,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        listener: &'a TcpListener,
        inbox: &'a OwnedFd,
        outbox: &'a OwnedFd,
        is_edge_triggered: bool,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
        epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::EXCLUSIVE)?;
        epoll::add(&epoll, inbox, EventData::new_u64(INBOX), EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            inbox,
            outbox,
            is_edge_triggered,
            connections: HashMap::new(),
            next: INBOX + 1,
            coming: VecDeque::new(),
            decoys: Decoys::new()?,
            counts: Counts::default(),
        })
    }

    /// Serves until it must exit, and returns why.
    pub(crate) fn run(mut self) -> Result<End> {
        let end = self.work()?;
        println!("{}", self.counts.line(self.is_edge_triggered));
        // The kernel closes what is still open when the process exits.
        self.connections.drain().for_each(|(_, stream)| std::mem::forget(stream));
        Ok(end)
    }

    fn work(&mut self) -> Result<End> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 16];
        loop {
            let (events, _) = match epoll::wait(&self.epoll, &mut events, None) {
                Err(rustix::io::Errno::INTR) => continue,
                events => events?,
            };
            for event in events {
                match event.data.u64() {
                    STDIN => return Ok(End::Finished),
                    LISTENER => self.accept()?,
                    INBOX => self.receive()?,
                    number => {
                        if self.serve(number)? {
                            return Ok(End::Replaced);
                        }
                    }
                }
            }
            if self.connections.is_empty() {
                self.decoys.clear();
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // Another worker has accepted it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accepting"),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.counts.accepted += 1;
        self.take(stream)
    }

    fn take(&mut self, stream: TcpStream) -> Result<()> {
        let mut flags = EventFlags::IN | EventFlags::RDHUP;
        flags.set(EventFlags::ET, self.is_edge_triggered);
        epoll::add(&self.epoll, &stream, EventData::new_u64(self.next), flags)?;
        self.connections.insert(self.next, stream);
        self.next += 1;
        Ok(())
    }

    /// Does what a connection's request asks. Returns whether the worker must exit.
    fn serve(&mut self, number: u64) -> Result<bool> {
        // The event is of a closed descriptor: one wait reports a connection only once.
        let Some(mut stream) = self.connections.remove(&number) else {
            self.counts.stale += 1;
            return Ok(false);
        };
        loop {
            let mut request = [0; 1024];
            let length = match stream.read(&mut request) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("reading"),
            };
            let request = request.get(..length).unwrap_or_default();
            match target(request) {
                Some("/keep") => stream.write_all(&answer())?,
                Some("/pass") => {
                    self.pass(stream, UNANSWERED)?;
                    return Ok(false);
                }
                Some("/close") => {
                    stream.write_all(&answer())?;
                    self.counts.closed += 1;
                    return self.close(stream).map(|()| false);
                }
                Some("/exit") => {
                    self.hand_over()?;
                    stream.write_all(&answer())?;
                    self.counts.exited += 1;
                    self.connections.insert(number, stream);
                    return Ok(true);
                }
                None if request.is_empty() => return self.close(stream).map(|()| false),
                _ => bail!("no request: {}", String::from_utf8_lossy(request)),
            }
            if !self.is_edge_triggered {
                break;
            }
        }
        self.connections.insert(number, stream);
        Ok(false)
    }

    /// Passes all connections on, including those that are still in transit.
    fn hand_over(&mut self) -> Result<()> {
        while !self.coming.is_empty() {
            poll(&mut [PollFd::new(self.inbox, PollFlags::IN)], None)?;
            self.receive()?;
        }
        for (_, other) in std::mem::take(&mut self.connections) {
            self.pass(other, ANSWERED)?;
        }
        Ok(())
    }

    /// Closes a connection without removing it from epoll, as nginx does, and reuses its number.
    fn close(&mut self, stream: TcpStream) -> Result<()> {
        let number = stream.as_raw_fd();
        drop(stream);
        self.counts.reused += u64::from(self.decoys.take(number)?);
        Ok(())
    }

    /// Passes a connection on and closes it here. The connection outlives this close, so epoll must forget
    /// it. The other worker waits for the close: while both hold the connection, a close over there would not
    /// end it, and only inspecting processes should have that effect.
    fn pass(&mut self, stream: TcpStream, marked: u8) -> Result<()> {
        epoll::delete(&self.epoll, &stream)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [stream.as_fd()];
        ensure!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "no room for a descriptor");
        let bytes = [marked];
        let marked = [IoSlice::new(&bytes)];
        sendmsg(self.outbox, &marked, &mut ancillary, SendFlags::empty())
            .context("passing a connection on")?;
        self.close(stream)?;
        sendmsg(self.outbox, &marked, &mut SendAncillaryBuffer::default(), SendFlags::empty())
            .context("saying that it is closed")?;
        self.counts.passed += 1;
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let mut marked = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(self.inbox, &mut [IoSliceMut::new(&mut marked)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .context("taking a connection over")?;
        let passed = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        if let Some(stream) = passed {
            self.coming.push_back(stream.into());
            return Ok(());
        }
        let mut stream = self.coming.pop_front().context("nothing was passed on")?;
        if marked == [UNANSWERED] {
            stream.write_all(&answer())?;
        }
        self.take(stream)
    }
}

/// Returns the target of a request.
fn target(request: &[u8]) -> Option<&str> {
    std::str::from_utf8(request).ok()?.strip_suffix("\r\n\r\n")?.strip_prefix("GET ")?.split(' ').next()
}
