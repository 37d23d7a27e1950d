//! Segments as the kernel-independent part of user space takes them.

use toa_common::{
    address::Address,
    attribution::{Attribution, LearnedFrom},
    flow_key::FlowKey,
    seq::Seq,
};
use toa_userspace::segment::{Segment, Start, details::Details};

/// Returns a segment of connection number `connection` with its whole payload.
pub fn segment(connection: u32, seq: u32, flags: u8, payload: &[u8]) -> Segment<'_> {
    let address = Address::from_ipv4(&connection.to_be_bytes());
    Segment {
        key: FlowKey { source: address, destination: address, ports: 0x5000_92e8 },
        generation: 1,
        time_ns: 1,
        interface_index: 2,
        attribution: Attribution {
            address,
            port_be: 1,
            toa_kind: 254,
            toa_length: 8,
            learned_from: LearnedFrom::Syn as u8,
            ..Attribution::EMPTY
        },
        seq: Seq(seq),
        flags,
        // So that a SYN may carry payload.
        details: Details { is_fast_open: true, ..Details::default() },
        start: Start::Unknown,
        is_stray: false,
        is_doubtful: false,
        payload,
        payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        left_out: None,
    }
}
