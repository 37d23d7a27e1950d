//! The parts of a packet that its segment has.

use toa_common::{inspect::Inspected, tcp_packet::TcpPacket, wire::view::Captured};

use crate::segment::details::Details;

/// What a segment has of its packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) payload: &'a [u8],
    /// What [`details`] returns, if it was needed before: it sums up the payload.
    pub(super) details: Option<Details>,
}

/// Returns what the TCP header says besides what was parsed. `is_merged` is whether the packet was merged from several
/// segments, whose checksums were verified before.
pub(super) fn details(captured: &Captured<'_>, tcp: &TcpPacket, is_merged: bool) -> Details {
    let network_offset = usize::try_from(tcp.network_offset).unwrap_or(usize::MAX);
    let packet = captured.bytes.get(network_offset..).unwrap_or_default();
    let below_ip = |offset: u32| offset.saturating_sub(tcp.network_offset);
    let tcp = TcpPacket { network_offset: 0, transport_offset: below_ip(tcp.transport_offset), ..*tcp };
    Details::read(packet, &tcp, is_merged)
}

/// Returns the captured part of the payload. The link layer's padding may follow it.
pub(super) fn payload<'a>(captured: &Captured<'a>, inspected: &Inspected) -> &'a [u8] {
    let offset = usize::try_from(inspected.tcp.payload_offset()).ok();
    let behind = offset.and_then(|offset| captured.bytes.get(offset..)).unwrap_or_default();
    usize::try_from(inspected.tcp.payload_len).ok().and_then(|len| behind.get(..len)).unwrap_or(behind)
}
