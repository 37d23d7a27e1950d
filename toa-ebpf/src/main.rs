//! The shipped object: one entry point per kind of device, with the same body and maps. The programs that read plaintext
//! share the maps; each is loaded only if it is asked for.
#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{classifier, raw_tracepoint, uprobe, uretprobe},
    programs::{ProbeContext, RawTracePointContext, RetProbeContext, TcContext},
};
use toa_common::{follow::Decision, inspect::Inspected, skip_reason::SkipReason, wire::view::Link};
use toa_ebpf::{
    NEXT,
    ingress::{Report, ingress},
    plaintext::{begins, bound, ends, freed, system_call},
};

/// The shipped object reports nothing.
#[derive(Clone, Copy)]
struct Silent;

impl Report for Silent {
    #[inline(always)]
    fn found(self, _: &Inspected, _: Decision) -> u32 {
        0
    }

    #[inline(always)]
    fn skipped(self, _: SkipReason) -> u32 {
        0
    }
}

/// Ingress on devices with an Ethernet header.
#[classifier]
fn toa_ingress_eth(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ethernet, Silent);
    NEXT
}

/// Ingress on devices without a link header, such as tun.
#[classifier]
fn toa_ingress_ip(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ip, Silent);
    NEXT
}

/// The entry of `SSL_set_fd` and `SSL_set_rfd`.
#[uprobe]
fn toa_tls_bound(ctx: ProbeContext) {
    bound(&ctx);
}

/// The entry of `SSL_free`.
#[uprobe]
fn toa_tls_freed(ctx: ProbeContext) {
    freed(&ctx);
}

/// The entry of `SSL_read`.
#[uprobe]
fn toa_tls_read(ctx: ProbeContext) {
    begins(&ctx, false);
}

/// The entry of `SSL_read_ex`.
#[uprobe]
fn toa_tls_read_ex(ctx: ProbeContext) {
    begins(&ctx, true);
}

/// The return of `SSL_read` and `SSL_read_ex`.
#[uretprobe]
fn toa_tls_returned(ctx: RetProbeContext) {
    ends(&ctx);
}

/// The entry of every system call, while TLS objects exist whose connection is not known.
#[raw_tracepoint(tracepoint = "sys_enter")]
fn toa_tls_call(ctx: RawTracePointContext) {
    system_call(&ctx);
}

/// The version of what this object shares with user space. Its name is [`toa_common::object::SECTION`].
#[unsafe(link_section = "toa_format")]
#[unsafe(no_mangle)]
pub static FORMAT: [u8; 4] = toa_common::object::STAMP;

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
