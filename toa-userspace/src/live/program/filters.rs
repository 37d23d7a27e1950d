//! The filters at an interface's ingress hook, as the kernel lists and removes them by routing netlink
//! (`net/sched/cls_api.c`). They exist beside TCX links, and are the only hook before TCX.

use std::{fmt, io};

use netlink_packet_core::{DecodeError, NLM_F_ACK, NLM_F_DUMP, NlaBuffer, NlasIterator};

use crate::live::host::route::{self, Message, text, word};

/// Bytes of `struct tcmsg` of `linux/rtnetlink.h`.
const TCMSG_BYTES: usize = 20;
/// The parent of ingress filters: `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` of `linux/pkt_sched.h`.
const INGRESS: u32 = 0xffff_fff2;
/// `TCA_BPF_NAME` and `TCA_BPF_ID` of `linux/pkt_cls.h`.
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
/// The kind of filters that are BPF programs.
const BPF: &str = "bpf";

/// A filter at the ingress hook.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Filter {
    /// Lower ones run first.
    pub priority: u16,
    /// The `ETH_P_` number of the packets that it sees.
    pub protocol: u16,
    /// What tells filters of one priority apart. 0: the entry stands for all filters of that priority.
    pub handle: u32,
    /// Such as `bpf` or `flower`.
    pub kind: String,
    /// The kernel's ID of the program, if it is one.
    pub program: Option<u32>,
    /// The name that a program was given when it was added, or empty.
    pub name: String,
}

impl Filter {
    /// Returns whether a BPF program for all packets can be added beside it, at the same priority.
    pub(crate) fn is_compatible(&self) -> bool {
        self.kind == BPF && i32::from(self.protocol) == libc::ETH_P_ALL
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, kind, name, .. } = self;
        let gap = if name.is_empty() { "" } else { " " };
        write!(f, "a netlink filter of priority {priority} ({kind}{gap}{name})")
    }
}

/// Returns the filters at the ingress hook of the interface with this index of our own network namespace. There are
/// none if there is no such interface.
pub fn ingress(index: u32) -> io::Result<Vec<Filter>> {
    let mut filters = Vec::new();
    let request = Request { index, handle: 0, info: 0, kind: None };
    route::ask(request.message(libc::RTM_GETTFILTER), NLM_F_DUMP, |payload| {
        let filter = decode(payload)?;
        // The kernel also lists every priority by itself.
        if filter.handle != 0 {
            filters.push(filter);
        }
        Ok(())
    })?;
    Ok(filters)
}

/// Removes a filter that is a BPF program. Needs `CAP_NET_ADMIN`.
pub fn remove(index: u32, filter: &Filter) -> io::Result<()> {
    let info = u32::from(filter.priority) << 16 | u32::from(filter.protocol.to_be());
    let request = Request { index, handle: filter.handle, info, kind: Some(BPF) };
    route::ask(request.message(libc::RTM_DELTFILTER), NLM_F_ACK, |_| Ok(()))
}

/// A request about filters at the ingress hook.
struct Request {
    index: u32,
    handle: u32,
    /// Priority and protocol.
    info: u32,
    kind: Option<&'static str>,
}

impl Request {
    fn message(&self, kind: u16) -> Message {
        let Self { index, handle, info, kind: filter } = self;
        let mut payload = Vec::with_capacity(TCMSG_BYTES + 8);
        for field in [0, *index, *handle, INGRESS, *info] {
            payload.extend(field.to_ne_bytes());
        }
        if let Some(filter) = filter {
            let length = 4 + filter.len() + 1;
            payload.extend((length as u16).to_ne_bytes());
            payload.extend(libc::TCA_KIND.to_ne_bytes());
            payload.extend(filter.bytes());
            payload.resize(TCMSG_BYTES + length.next_multiple_of(4), 0);
        }
        Message { kind, payload }
    }
}

/// Decodes a `struct tcmsg` and the attributes behind it.
fn decode(payload: &[u8]) -> Result<Filter, DecodeError> {
    let short = || DecodeError::from("a filter that is too short");
    let (handle, info) = word(payload, 8).zip(word(payload, 16)).ok_or_else(short)?;
    let mut filter = Filter {
        priority: (info >> 16) as u16,
        protocol: u16::from_be(info as u16),
        handle,
        kind: String::new(),
        program: None,
        name: String::new(),
    };
    for attribute in NlasIterator::new(payload.get(TCMSG_BYTES..).ok_or_else(short)?) {
        let attribute: NlaBuffer<&[u8]> = attribute?;
        match attribute.kind() {
            libc::TCA_KIND => filter.kind = text(attribute.value()),
            // The kind comes first.
            libc::TCA_OPTIONS if filter.kind == BPF => {
                for option in NlasIterator::new(attribute.value()) {
                    let option: NlaBuffer<&[u8]> = option?;
                    match option.kind() {
                        TCA_BPF_ID => filter.program = word(option.value(), 0),
                        TCA_BPF_NAME => filter.name = text(option.value()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter as the kernel lists it: its `tcmsg`, kind, a chain, and options with name and ID.
    fn listed() -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [0, 7, 1, INGRESS, 7 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be())] {
            bytes.extend(u32::to_ne_bytes(field));
        }
        let attribute = |kind: u16, value: &[u8]| {
            let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let options = [attribute(7, b"name\0"), attribute(TCA_BPF_ID, &4242_u32.to_ne_bytes())].concat();
        bytes.extend(attribute(libc::TCA_KIND, b"bpf\0"));
        bytes.extend(attribute(11, &0_u32.to_ne_bytes()));
        bytes.extend(attribute(libc::TCA_OPTIONS, &options));
        bytes
    }

    #[test]
    fn a_filter_is_decoded() {
        let filter = decode(&listed()).unwrap();
        let expected = Filter {
            priority: 7,
            protocol: 3,
            handle: 1,
            kind: BPF.to_owned(),
            program: Some(4242),
            name: "name".to_owned(),
        };
        assert_eq!(filter, expected);
        assert!(filter.is_compatible());
        assert!(!Filter { protocol: 0x800, ..filter.clone() }.is_compatible());
        assert!(!Filter { kind: "flower".to_owned(), ..filter }.is_compatible());
    }

    #[test]
    fn a_filter_that_is_cut_anywhere_is_an_error_or_a_part_of_it() {
        let whole = listed();
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).map_or(true, |filter| filter.program.is_none()), "{length}");
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_has_no_filters() {
        assert_eq!(ingress(u32::MAX >> 1).unwrap(), []);
    }
}
