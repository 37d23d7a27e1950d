//! Writes options into the packets of real TCP connections, as a balancer does.
//!
//! Responsible for which packets of which connections are marked. Not responsible for the option's bytes.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

use core::{mem::offset_of, ptr::read_volatile};

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, bpf_sock_ops,
    },
    helpers::{bpf_get_netns_cookie, bpf_reserve_hdr_opt, bpf_store_hdr_opt},
    macros::{map, sock_ops},
    maps::{Array, HashMap, Queue},
    programs::SockOpsContext,
};
use toa_lab_ebpf::{MAX_MARKS, Mark, Settings, habit, key};

/// Allocates entries when they are made: most labs use a few of them.
const BPF_F_NO_PREALLOC: u32 = 1;

/// What to do.
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// Options for connections whose local port is known before they are opened.
#[map]
static ASSIGNED: HashMap<u32, Mark> = HashMap::with_max_entries(MAX_MARKS, BPF_F_NO_PREALLOC);

/// Options for the other connections, in the order in which they are opened.
#[map]
static NEXT: Queue<Mark> = Queue::with_max_entries(MAX_MARKS, 0);

/// The options that connections got.
#[map]
static MARKED: HashMap<u32, Mark> = HashMap::with_max_entries(MAX_MARKS, BPF_F_NO_PREALLOC);

const TCP_FLAG_SYN: u32 = 0x02;
const TCP_FLAG_RST: u32 = 0x04;

/// Called by the kernel at the turning points of every connection of the cgroup.
#[sock_ops]
#[expect(clippy::needless_pass_by_value, reason = "the macro's shim hands the context over")]
fn toa_lab_marker(ctx: SockOpsContext) -> u32 {
    if let Some(settings) = SETTINGS.get(0)
        // SAFETY: the helper takes this program type's context.
        && unsafe { bpf_get_netns_cookie(ctx.as_ptr()) } == settings.namespace_cookie
    {
        match ctx.op() {
            BPF_SOCK_OPS_TCP_CONNECT_CB => begin(&ctx),
            BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB if settings.habit == habit::SYN => end(&ctx),
            BPF_SOCK_OPS_HDR_OPT_LEN_CB => reserve(&ctx, settings.habit),
            BPF_SOCK_OPS_WRITE_HDR_OPT_CB => write(&ctx, settings.habit),
            _ => {}
        }
    }
    1
}

/// Gives a new connection its option.
#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let key = key(ctx.family(), ctx.local_port());
    // SAFETY: entries of this map are not changed while connections are opened from their ports.
    let assigned = unsafe { ASSIGNED.get(key) }.copied();
    match assigned.or_else(|| NEXT.pop().ok().flatten()) {
        Some(mark) => {
            if MARKED.insert(key, mark, 0).is_ok() {
                set_flags(ctx, ctx.cb_flags() | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
            }
        }
        None => {
            let _ = MARKED.remove(key);
        }
    }
}

/// Marks no further packet of the connection.
#[inline(always)]
fn end(ctx: &SockOpsContext) {
    set_flags(ctx, ctx.cb_flags() & !BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

fn set_flags(ctx: &SockOpsContext, flags: u32) {
    let _ = ctx.set_cb_flags(flags.cast_signed());
}

/// Reserves room for the option in a packet that is to be marked. Also asked without a packet, when the
/// kernel computes the segment size: then its flags and length are 0.
#[inline(always)]
fn reserve(ctx: &SockOpsContext, habit: u32) {
    let flags = word(ctx, offset_of!(bpf_sock_ops, skb_tcp_flags));
    let is_syn = flags & TCP_FLAG_SYN != 0;
    let is_early = bytes_received(ctx) == 0;
    let is_marked = match habit {
        habit::SYN => is_syn,
        habit::SYN_AND_EARLY => is_early,
        habit::EARLY => is_early && !is_syn,
        habit::HANDSHAKE_ACK => !is_syn,
        // There are no headers yet: what there is, is payload.
        habit::FIRST_DATA => flags == 0 || word(ctx, offset_of!(bpf_sock_ops, skb_len)) != 0,
        _ => false,
    };
    if !is_early {
        end(ctx);
    }
    if !is_marked || flags & TCP_FLAG_RST != 0 {
        return;
    }
    // SAFETY: the entry of an open connection is not changed.
    if let Some(mark) = unsafe { MARKED.get(key(ctx.family(), ctx.local_port())) } {
        // SAFETY: the helper takes this program type's context.
        unsafe { bpf_reserve_hdr_opt(ctx.ops, mark.length, 0) };
    }
}

/// Writes the option where room was reserved for it.
#[inline(always)]
fn write(ctx: &SockOpsContext, habit: u32) {
    // SAFETY: the entry of an open connection is not changed.
    let Some(mark) = (unsafe { MARKED.get(key(ctx.family(), ctx.local_port())) }) else {
        return;
    };
    // SAFETY: the option has `MAX_OPTION_BYTES`, and no more are read.
    unsafe { bpf_store_hdr_opt(ctx.ops, mark.option.as_ptr().cast(), option_length(mark.length), 0) };
    if matches!(habit, habit::HANDSHAKE_ACK | habit::FIRST_DATA) {
        end(ctx);
    }
}

/// Returns `length`, which the tests keep in 2 to 40.
///
/// For the verifier: it must see that the length is neither 0 nor beyond the option. In assembly because the
/// compiler merges comparisons until the verifier loses the range.
#[inline(always)]
fn option_length(length: u32) -> u32 {
    let mut bounded = length;
    // SAFETY: arithmetic and jumps on one register, no memory.
    unsafe {
        core::arch::asm!(
            "{0} &= 63",
            "if {0} > 1 goto +1",
            "{0} = 2",
            "if {0} < 41 goto +1",
            "{0} = 40",
            inout(reg) bounded,
            options(pure, nomem, nostack)
        );
    }
    bounded
}

/// Reads a word of the context. Volatile, because the verifier wants each field read by itself and whole.
#[inline(always)]
fn word(ctx: &SockOpsContext, offset: usize) -> u32 {
    // SAFETY: the offset is that of a `u32` field of the context.
    unsafe { read_volatile(ctx.ops.byte_add(offset).cast()) }
}

#[inline(always)]
fn bytes_received(ctx: &SockOpsContext) -> u64 {
    // SAFETY: as in `word`; the field is a `u64`.
    unsafe { read_volatile(&raw const (*ctx.ops).bytes_received) }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence that lets the kernel offer its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
