//! Reading of request bodies, so that they are not copied: see [`toa_common::body`].

use core::hint::cold_path;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_ANY},
    helpers::generated::bpf_skb_load_bytes,
    programs::TcContext,
};
use toa_common::{
    body::{HEAD_BYTES, states},
    verifier::{load, masked},
    wire::tcp::{FIN, RST, SYN, URG},
};

use crate::{
    maps::{BYPASS, CONFIG},
    scratch::Scratch,
    skb::{Metadata, word},
};

/// A payload of this many bytes is worth looking for a head with any method; in a smaller one, only for methods that usually
/// have a body.
const LARGE_BYTES: u32 = 4096;

/// How much of a body of known length must be left out to be worth a window, in bytes.
const MIN_SPARED_BYTES: u32 = 1024;

/// How many bytes of chunk-size lines are read in a packet, at most.
const MAX_LINE_BYTES: u32 = 336;

/// The beginnings of methods that usually have a body.
const POST: u32 = u32::from_be_bytes(*b"POST");
const PUT: u32 = u32::from_be_bytes(*b"PUT ");
const PATCH: u32 = u32::from_be_bytes(*b"PATC");

/// Everything is to be copied.
pub(crate) const WHOLE: u32 = u32::MAX;

/// Nothing is to be copied, not even a record.
pub(crate) const NOTHING: u32 = u32::MAX - 1;

/// Decides how much of the packet in the scratch map is copied: [`WHOLE`], [`NOTHING`], or only this much of its payload,
/// because the rest belongs to the body whose position is then in the record. `is_next` says whether the packet begins with
/// the next expected byte.
///
/// User space verifies the checksum of a packet that is copied whole, and withdraws what was read in it if that is wrong. Of
/// others it cannot, so a part is left out only of packets that were merged from several segments, whose checksums have been
/// verified by then.
#[inline(always)]
pub(crate) fn copied_bytes(ctx: &TcContext, scratch: &mut Scratch, is_next: bool) -> u32 {
    let tcp = &scratch.inspected.tcp;
    let (flags, seq, payload_len) = (tcp.flags, tcp.seq, tcp.payload_len);
    scratch.record.body_state = states::UNKNOWN;
    if CONFIG.copies_whole() {
        return WHOLE;
    }
    let mut at = window(scratch);
    if at == NOTHING {
        return NOTHING;
    }
    let is_merged = Metadata::new(ctx).gso_segments() > 1;
    let mut copied = 0;
    if at == WHOLE {
        if !is_next
            || flags & (SYN | FIN | RST | URG) != 0
            || payload_len <= 4
            || !may_have_body(ctx, scratch)
        {
            return WHOLE;
        }
        copied = begin(ctx, scratch);
        if copied == 0 {
            return WHOLE;
        }
        at = copied;
    } else if !is_merged {
        return WHOLE;
    }
    if !is_merged {
        copied = payload_len;
    }
    // The verifier then reads the chunks once, whatever is copied.
    scratch.copied = copied;
    let has_length = scratch.position.state == states::LENGTH;
    let reached = if has_length {
        at.wrapping_add(scratch.head.body_bytes)
    } else if is_merged {
        read_chunks(ctx, scratch, at)
    } else {
        at
    };
    let copied = load(&scratch.copied);
    if reached < payload_len || (has_length && reached.wrapping_sub(copied) < MIN_SPARED_BYTES) {
        return WHOLE;
    }
    let Scratch { bypass, position, record, inspected, .. } = scratch;
    let end = (seq + reached).0;
    if reached > payload_len || position.state > states::END {
        bypass.generation = record.generation;
        // After the packet: if a server discards this one, it takes another in its place.
        bypass.from = (seq + payload_len).0;
        bypass.until = end;
        bypass.position.set(position);
        let key = &inspected.tcp.key;
        if BYPASS.insert(key, bypass, u64::from(BPF_ANY)).is_err() {
            return WHOLE;
        }
    }
    record.body_seq = end;
    record.body_state = position.state;
    record.body_digits = position.digits;
    record.body_size = position.size;
    copied
}

/// Looks for a window of the connection. Returns [`NOTHING`] if it contains the packet, and [`WHOLE`] if it does not concern
/// it. If it ends in the packet, at a known position of a chunked body, returns where that is and writes the position to the
/// scratch map.
#[inline(always)]
fn window(scratch: &mut Scratch) -> u32 {
    let generation = scratch.record.generation;
    let tcp = &scratch.inspected.tcp;
    let key = &tcp.key;
    let Some(bypass) = BYPASS.get_ptr_mut(key) else {
        return WHOLE;
    };
    // SAFETY: an entry of another connection has another generation. Concurrent writes of user space and of other CPUs mix
    // at most windows of the same connection; what is left out by mistake is a gap in user space.
    let bypass = unsafe { &mut *bypass };
    if bypass.covers(generation, tcp.flags, tcp.seq, tcp.payload_len) {
        return NOTHING;
    }
    if bypass.continues_in(generation, tcp.flags, tcp.seq, tcp.payload_len) {
        scratch.position.set(&bypass.position);
        // Until it is known where the body goes on.
        bypass.position.state = states::UNKNOWN;
        return bypass.until.wrapping_sub(tcp.seq.0);
    }
    if bypass.is_passed(tcp.seq) {
        bypass.until = bypass.from;
        bypass.position.state = states::UNKNOWN;
    }
    WHOLE
}

/// Returns whether the payload may begin with the head of a request whose body is worth reading.
#[inline(always)]
fn may_have_body(ctx: &TcContext, scratch: &mut Scratch) -> bool {
    let tcp = &scratch.inspected.tcp;
    let payload_len = tcp.payload_len;
    let Some(method) = word(ctx, tcp.payload_offset(), &mut scratch.head_bytes) else {
        return false;
    };
    let [first, ..] = method.to_be_bytes();
    matches!(method, POST | PUT | PATCH) || (payload_len >= LARGE_BYTES && first.is_ascii_uppercase())
}

/// Reads a head at the beginning of the payload, and writes to the scratch map how its body begins. Returns the length of the
/// head, or 0 if there is none with a plain body. A function of its own for the sake of the stack.
#[inline(never)]
fn begin(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    let tcp = &scratch.inspected.tcp;
    let (payload_len, payload_offset) = (tcp.payload_len, tcp.payload_offset());
    // From 1 to `HEAD_BYTES`, so that the verifier sees both bounds at the call.
    let wanted = payload_len.min(HEAD_BYTES as u32).wrapping_sub(1);
    let len = masked::<{ HEAD_BYTES as u32 - 1 }>(wanted) as u32 + 1;
    let Scratch { head, head_bytes, position, .. } = scratch;
    // SAFETY: there is room for `len` bytes, which are 1 to `HEAD_BYTES`.
    if unsafe { bpf_skb_load_bytes(skb(ctx).cast(), payload_offset, head_bytes.as_mut_ptr().cast(), len) }
        != 0
    {
        return 0;
    }
    head.read(head_bytes, len);
    if head.end == 0 {
        return 0;
    }
    head.body(head_bytes, position);
    if position.state == states::UNKNOWN { 0 } else { head.end }
}

/// Reads the chunk sizes in the payload, from the position in the scratch map at `at` on. Returns where the position is
/// then, relative to the first byte: after the packet, or at its end. 0 if there is something else in the payload than
/// chunks.
#[inline(never)]
fn read_chunks(ctx: &TcContext, scratch: &mut Scratch, mut at: u32) -> u32 {
    let tcp = &scratch.inspected.tcp;
    let (payload_len, payload_offset) = (tcp.payload_len, tcp.payload_offset());
    let mut read = 0;
    while read < MAX_LINE_BYTES {
        if at >= payload_len {
            cold_path();
            return at;
        }
        let byte = scratch.headers.as_mut_ptr();
        // SAFETY: there is room for one byte.
        if unsafe { bpf_skb_load_bytes(skb(ctx).cast(), payload_offset.wrapping_add(at), byte.cast(), 1) }
            != 0
        {
            cold_path();
            return 0;
        }
        let [byte, ..] = scratch.headers;
        at = at.wrapping_add(1).wrapping_add(scratch.position.step(byte));
        if scratch.position.state <= states::END {
            cold_path();
            return if scratch.position.state == states::END && at == payload_len { at } else { 0 };
        }
        read += 1;
    }
    0
}

#[inline(always)]
fn skb(ctx: &TcContext) -> *mut __sk_buff {
    ctx.as_ptr().cast()
}
