//! The server's socket, if it is on this host. It shows what the client's packets cannot: where the connection begins, which ACK
//! numbers are possible, and whether the server still reads.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_tuple},
    helpers::generated::{bpf_sk_lookup_tcp, bpf_sk_release, bpf_tcp_sock},
    programs::TcContext,
};
use toa_common::{
    flow::WINDOW_BYTES,
    flow_key::FlowKey,
    seq::Seq,
    tcp_packet::TcpPacket,
    verifier::store,
    wire::tcp::{FIN, RST, SYN, Tcp},
};

use crate::{scratch::Scratch, skb::word};

/// The network namespace of the packet's device (`BPF_F_CURRENT_NETNS`).
const CURRENT_NAMESPACE: u64 = u64::MAX;

/// States of a socket (`enum bpf_tcp_state`) in which the server has not closed its side.
const ESTABLISHED: u32 = 1;
const CLOSE_WAIT: u32 = 8;
/// States before a connection is established.
const SYN_RECEIVED: u32 = 3;
const LISTEN: u32 = 10;

/// By how much an ACK number may exceed what the socket says it has sent: the kernel transmits a packet, of at most 512 KiB
/// (BIG TCP), before it notes that, and the answer may come sooner.
const UNNOTED_BYTES: i32 = 1 << 20;

/// What the server does with a packet.
pub(crate) mod fate {
    /// Not known: it is of a kind that is not checked.
    pub(crate) const UNKNOWN: u32 = 0;
    /// No connection of this host has its addresses.
    pub(crate) const NO_CONNECTION: u32 = 1;
    /// It reads it, unless its sequence number or the like is against that.
    pub(crate) const READ: u32 = 2;
    /// It may discard it, because its ACK number is too old (RFC 5961 section 5). On its fast path, Linux does not check that.
    pub(crate) const DOUBTFUL: u32 = 3;
    /// It discards it because its ACK number is of what it has not sent (RFC 9293 section 3.10.7.4).
    pub(crate) const ACK_UNACCEPTABLE: u32 = 4;
    /// It has closed its side of the connection and answers nothing any more.
    pub(crate) const CLOSED: u32 = 5;
}

/// Finds the [`fate`] of the packet in the scratch map, as far as its socket tells, and writes it there: in memory, the
/// verifier does not tell the ways apart that led to it. A function of its own for the sake of the stack. Returns 0.
#[inline(never)]
pub(crate) fn find_fate(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    let fate = fate_of(ctx, scratch);
    store(&mut scratch.fate, fate);
    0
}

#[inline(always)]
fn fate_of(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    let Scratch { inspected, headers, .. } = scratch;
    let tcp = &inspected.tcp;
    if tcp.flags & (SYN | RST) != 0 || (tcp.payload_len == 0 && tcp.flags & FIN == 0) {
        return fate::UNKNOWN;
    }
    let Some(ack) = word(ctx, tcp.transport_offset.wrapping_add(Tcp::ACK_OFFSET), headers).map(Seq) else {
        return fate::UNKNOWN;
    };
    let memory = headers.as_mut_ptr().cast();
    // SAFETY: the helpers get the socket that the lookup returned, and it is released once.
    unsafe {
        let socket = find(ctx, tcp, memory);
        if socket.is_null() {
            return fate::NO_CONNECTION;
        }
        let state = (*socket).state;
        let tcp = bpf_tcp_sock(socket);
        let fate = if tcp.is_null() || state == LISTEN {
            fate::NO_CONNECTION
        } else if state == SYN_RECEIVED {
            fate::UNKNOWN
        } else if state != ESTABLISHED && state != CLOSE_WAIT {
            fate::CLOSED
        } else if ack.distance(Seq((*tcp).snd_nxt)) > UNNOTED_BYTES {
            fate::ACK_UNACCEPTABLE
        } else if Seq((*tcp).snd_una).distance(ack) > oldest_ack((*tcp).bytes_acked) {
            fate::DOUBTFUL
        } else {
            fate::READ
        };
        bpf_sk_release(socket.cast());
        fate
    }
}

/// Finds out whether the server had read from the connection before the packet in the scratch map, and writes that there. Inlined,
/// because its caller has no stack left for a call.
#[inline(always)]
pub(crate) fn find_start(ctx: &TcContext, scratch: &mut Scratch) {
    let Scratch { inspected, headers, is_joined, .. } = scratch;
    let was_read = was_read_before(ctx, &inspected.tcp, headers.as_mut_ptr().cast());
    store(is_joined, u32::from(was_read));
}

/// Returns whether the server's socket had received data before this packet, which is then not the first of its connection. The
/// first data may be sent again. Only the socket of an established connection tells.
#[inline(always)]
fn was_read_before(ctx: &TcContext, tcp: &TcpPacket, memory: *mut c_void) -> bool {
    // SAFETY: the helpers get the socket that the lookup returned, and it is released once.
    unsafe {
        let socket = find(ctx, tcp, memory);
        if socket.is_null() {
            return false;
        }
        let connection = bpf_tcp_sock(socket);
        let was_read = if connection.is_null() || (*socket).state != ESTABLISHED {
            false
        } else {
            let received = (*connection).bytes_received;
            let first = (*connection).rcv_nxt.wrapping_sub(received as u32);
            received != 0 && tcp.seq.0 != first
        };
        bpf_sk_release(socket.cast());
        was_read
    }
}

/// Returns the socket of a packet's connection, or a listening one, or null.
///
/// # Safety
/// There must be room for 36 bytes. A socket must be released, once.
#[inline(always)]
unsafe fn find(ctx: &TcContext, tcp: &TcpPacket, memory: *mut c_void) -> *mut bpf_sock {
    // SAFETY: the caller's promise. The tuple has `len` bytes. A socket that was found is valid until it is released, and its
    // fields are copied by the kernel, whatever writes to them.
    unsafe {
        let len = write_tuple(&tcp.key, memory.cast());
        bpf_sk_lookup_tcp(ctx.as_ptr(), memory.cast::<bpf_sock_tuple>(), len, CURRENT_NAMESPACE, 0)
    }
}

/// Returns by how much an ACK number of a client may be older than what it has acknowledged.
#[inline(always)]
fn oldest_ack(acknowledged: u64) -> i32 {
    acknowledged.min(u64::from(WINDOW_BYTES)) as i32
}

/// Writes a `bpf_sock_tuple` and returns its length: 12 bytes for IPv4, 36 for IPv6.
///
/// # Safety
/// There must be room for 36 bytes.
#[inline(always)]
unsafe fn write_tuple(key: &FlowKey, words: *mut u32) -> u32 {
    let (Some(source), Some(destination)) = (key.source.ipv4(), key.destination.ipv4()) else {
        // SAFETY: the caller's promise. The addresses are words in network order.
        unsafe {
            words.cast::<[u32; 4]>().write(key.source.0);
            words.add(4).cast::<[u32; 4]>().write(key.destination.0);
            words.add(8).write(key.ports);
        }
        return 36;
    };
    // SAFETY: likewise.
    unsafe { words.cast::<[u32; 3]>().write([source, destination, key.ports]) };
    12
}
