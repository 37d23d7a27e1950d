//! Attaches the BPF program that writes options into the packets of real connections, as a balancer does.
//!
//! The bytes of options come from [`toa_packets::toa_option`] or the tests, deliberately not from the tested
//! code.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, include_bytes_aligned,
    maps::{Array, HashMap, MapData, Queue},
    programs::{CgroupAttachMode, SockOps},
};
use toa_lab_ebpf::{MAX_OPTION_BYTES, Mark, Settings, habit, key};

use crate::lab::{cgroup, netns::Namespace};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_LAB_OBJECT"));

/// Which packets a balancer marks. An early packet acknowledges nothing but the server's SYN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Habit {
    /// Only the SYN (HDSLB).
    Syn,
    /// The SYN and every early packet (LVS v3, DPVS until 1.9.4).
    SynAndEarly,
    /// Every early packet, but not the SYN (DPVS from 1.9.6).
    Early,
    /// Only the first packet after the SYN (Jupiter).
    HandshakeAck,
    /// Only the first packet with data.
    FirstData,
}

impl Habit {
    /// All habits.
    pub const ALL: [Self; 5] =
        [Self::Syn, Self::SynAndEarly, Self::Early, Self::HandshakeAck, Self::FirstData];

    fn word(self) -> u32 {
        match self {
            Self::Syn => habit::SYN,
            Self::SynAndEarly => habit::SYN_AND_EARLY,
            Self::Early => habit::EARLY,
            Self::HandshakeAck => habit::HANDSHAKE_ACK,
            Self::FirstData => habit::FIRST_DATA,
        }
    }
}

/// Marks the connections that are opened in one namespace, until it is dropped.
pub struct Marker {
    // Owns the program, which is detached when this is dropped.
    object: Ebpf,
    assigned: HashMap<MapData, u32, Mark>,
    marked: HashMap<MapData, u32, Mark>,
    next: Queue<MapData, Mark>,
    settings: Array<MapData, Settings>,
    namespace_cookie: u64,
}

impl Marker {
    /// Starts to mark connections that this process and its children open in `namespace`.
    pub fn attach(namespace: &Namespace, habit: Habit) -> Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("loading the lab's object")?;
        let mut map = |name: &str| object.take_map(name).with_context(|| format!("no map {name}"));
        let mut marker = Self {
            assigned: map("ASSIGNED")?.try_into()?,
            marked: map("MARKED")?.try_into()?,
            next: map("NEXT")?.try_into()?,
            settings: map("SETTINGS")?.try_into()?,
            namespace_cookie: namespace.cookie()?,
            object,
        };
        marker.set_habit(habit)?;
        let program = marker.object.program_mut("toa_lab_marker").context("no program toa_lab_marker")?;
        let program: &mut SockOps = program.try_into()?;
        program.load().context("loading the marker")?;
        program.attach(cgroup::own()?, CgroupAttachMode::Single).context("attaching the marker")?;
        Ok(marker)
    }

    /// Changes the habit for all further packets.
    pub fn set_habit(&mut self, habit: Habit) -> Result<()> {
        let settings = Settings { namespace_cookie: self.namespace_cookie, habit: habit.word(), _unused: 0 };
        Ok(self.settings.set(0, settings, 0)?)
    }

    /// Marks the connection that will be opened from `local` with `option`.
    pub fn assign(&mut self, local: SocketAddr, option: &[u8]) -> Result<()> {
        Ok(self.assigned.insert(local_key(local), mark(option, 0)?, 0)?)
    }

    /// Marks the next connections from ports without an assigned option, one for each of these options, in
    /// their order.
    pub fn assign_next<'a>(&mut self, options: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        for (number, option) in options.into_iter().enumerate() {
            self.next.push(mark(option, u32::try_from(number)?)?, 0)?;
        }
        Ok(())
    }

    /// Returns the option that the most recent connection from `local` was marked with.
    pub fn option_of(&self, local: SocketAddr) -> Result<Option<Vec<u8>>> {
        match self.marked.get(&local_key(local), 0) {
            Ok(mark) => Ok(Some(option_of(&mark))),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the options that IPv4 connections were marked with, by local port.
    pub fn options(&self) -> Result<Vec<(u16, Vec<u8>)>> {
        let ipv4 = key(libc::AF_INET.cast_unsigned(), 0);
        let mut options = Vec::new();
        for entry in &self.marked {
            let (key, mark) = entry?;
            if let Ok(port) = u16::try_from(key ^ ipv4) {
                options.push((port, option_of(&mark)));
            }
        }
        Ok(options)
    }
}

fn local_key(local: SocketAddr) -> u32 {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    key(family.cast_unsigned(), local.port().into())
}

fn mark(option: &[u8], number: u32) -> Result<Mark> {
    let length = option.len();
    ensure!((2..=MAX_OPTION_BYTES).contains(&length), "no option has {length} bytes");
    let mut mark = Mark { length: u32::try_from(length)?, number, option: [0; MAX_OPTION_BYTES] };
    mark.option.iter_mut().zip(option).for_each(|(to, from)| *to = *from);
    Ok(mark)
}

fn option_of(mark: &Mark) -> Vec<u8> {
    let length = usize::try_from(mark.length).unwrap_or_default();
    mark.option.iter().copied().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_its_option() {
        assert_eq!(option_of(&mark(&[200, 3, 9], 5).unwrap()), [200, 3, 9]);
        assert!(mark(&[0; 41], 0).is_err());
        assert!(mark(&[254], 0).is_err());
    }
}
