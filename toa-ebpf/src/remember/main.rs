//! The object of `toa-tc remember`: a `sock_ops` program, which the kernel calls when a connection of its cgroup is
//! established. It notes the connection's client in the socket's storage, which is freed with the socket.
//!
//! It is called for no ordinary packet. Only while the client is not known, the kernel is asked to also call for packets
//! with options that it does not know, and for at most [`MAX_EXAMINED`](toa_common::remembered::MAX_EXAMINED) of them.
//! The program writes no option and no reply, so connections are as they would be without it.
//!
//! It sees no SYN. The kernel would show it those that a listener answers, but only with a flag that accepted connections
//! inherit, which means a call for every packet that they send.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod counts;
mod header;
mod ops;
mod storage;

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
    },
    macros::sock_ops,
    programs::SockOpsContext,
};
use toa_common::{config::Config, inspect::find_toa_in_header, remembered::Remembered};

use ops::Ops;

/// The settings, written by user space before the program is loaded.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::DEFAULT;

/// Calls for packets with options that the kernel does not know.
const EXAMINE: u32 = BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG;

/// The return value and the only effect on a connection: go on.
const GO_ON: u32 = 1;

/// Called by the kernel on the events of every connection of the cgroup.
#[sock_ops]
fn toa_remember(ctx: SockOpsContext) -> u32 {
    let ops = Ops(&ctx);
    match ctx.op() {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(ops),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => later(ops),
        _ => {}
    }
    GO_ON
}

/// Notes the client of a new connection, from the packet that completed its handshake.
#[inline(always)]
fn established(ops: Ops<'_>) {
    counts::accepted();
    let mut remembered = Remembered::none();
    let (toa, walk) = find_toa_in_header(&ops.header(), &CONFIG);
    let found = remembered.note(&toa, ops.segment_kind(), walk.has_several());
    if !remembered.is_settled() {
        ops.set(EXAMINE);
    }
    if found {
        if storage::insert(ops, &mut remembered) {
            counts::named();
        } else {
            counts::failed();
        }
    }
}

/// Examines a later packet, which has options that the kernel does not know.
#[inline(always)]
fn later(ops: Ops<'_>) {
    // Another program asked for the calls.
    if !ops.is_set(EXAMINE) {
        return;
    }
    let (toa, walk) = find_toa_in_header(&ops.header(), &CONFIG);
    let Some(remembered) = storage::get_or_insert(ops) else {
        ops.clear(EXAMINE);
        if toa.is_some() {
            counts::failed();
        }
        return;
    };
    let was_named = remembered.is_named();
    remembered.count_examined();
    if remembered.note(&toa, ops.segment_kind(), walk.has_several()) && !was_named {
        counts::named();
    }
    if remembered.is_settled() {
        ops.clear(EXAMINE);
        if !remembered.is_named() {
            counts::given_up();
            storage::remove(ops);
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // An object with a reachable panic does not load, because the verifier rejects infinite loops.
    loop {}
}

/// The version of what this object shares with user space. Its name is [`toa_common::object::SECTION`].
#[unsafe(link_section = "toa_format")]
#[unsafe(no_mangle)]
pub static FORMAT: [u8; 4] = toa_common::object::STAMP;

/// The licence, with which the kernel offers its helpers to all of the project's objects.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
