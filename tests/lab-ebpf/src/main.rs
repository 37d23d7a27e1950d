//! A `sock_ops` program that writes options into the packets of real TCP connections, as a balancer does. The tests
//! supply the bytes of the options. And a program for an ingress hook that keeps packets from those after it.
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
    macros::{classifier, map, sock_ops},
    maps::{Array, HashMap, Queue},
    programs::{SockOpsContext, TcContext},
};
use toa_lab_ebpf::{MAX_MARKS, Mark, Settings, habit, key};

/// Allocates entries on insertion, because most labs use only a few.
const BPF_F_NO_PREALLOC: u32 = 1;

/// The settings, written by the tests.
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// Options for connections whose local port is known before they are opened.
#[map]
static ASSIGNED: HashMap<u32, Mark> = HashMap::with_max_entries(MAX_MARKS, BPF_F_NO_PREALLOC);

/// Options for the other connections, in the order in which they are opened.
#[map]
static NEXT: Queue<Mark> = Queue::with_max_entries(MAX_MARKS, 0);

/// The options that were assigned to connections.
#[map]
static MARKED: HashMap<u32, Mark> = HashMap::with_max_entries(MAX_MARKS, BPF_F_NO_PREALLOC);

const TCP_FLAG_SYN: u32 = 0x02;
const TCP_FLAG_RST: u32 = 0x04;

/// Called by the kernel on the events of every connection of the cgroup.
#[sock_ops]
#[expect(clippy::needless_pass_by_value, reason = "the macro's shim hands the context over")]
fn toa_lab_marker(ctx: SockOpsContext) -> u32 {
    if let Some(settings) = SETTINGS.get(0)
        // SAFETY: the helper accepts this program type's context.
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

/// Assigns an option to a new connection, if there is one for it.
#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let key = key(ctx.family(), ctx.local_port());
    // SAFETY: an entry of this map is not changed while a connection is opened from its port.
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

/// Stops marking packets of the connection.
#[inline(always)]
fn end(ctx: &SockOpsContext) {
    set_flags(ctx, ctx.cb_flags() & !BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

fn set_flags(ctx: &SockOpsContext, flags: u32) {
    let _ = ctx.set_cb_flags(flags.cast_signed());
}

/// Reserves room for the option in a packet that is to be marked. The kernel also calls this without a packet when it
/// computes the segment size. Flags and length are then 0.
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
        // The packet has no headers yet, so its length is that of the payload.
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
        // SAFETY: the helper accepts this program type's context.
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

/// Returns `length`, which is 2 to 40 in the tests.
///
/// The verifier must see that the length is neither 0 nor greater than the option's array. In assembly, because the
/// compiler would merge the comparisons so that the verifier loses the range.
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

/// Reads a word of the context. Volatile, because the verifier requires that each field is read by a load of its own
/// and full width.
#[inline(always)]
fn word(ctx: &SockOpsContext, offset: usize) -> u32 {
    // SAFETY: the offset is that of a `u32` field of the context.
    unsafe { read_volatile(ctx.ops.byte_add(offset).cast()) }
}

#[inline(always)]
fn bytes_received(ctx: &SockOpsContext) -> u64 {
    // SAFETY: as in `word`, with a field of type `u64`.
    unsafe { read_volatile(&raw const (*ctx.ops).bytes_received) }
}

/// `TC_ACT_OK`: the packet goes on, but to no other program.
const LAST: i32 = 0;

/// Ends the chain of programs at its hook.
#[classifier]
fn toa_lab_last(_ctx: TcContext) -> i32 {
    LAST
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence, with which the kernel offers its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
