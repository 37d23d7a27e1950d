//! The shipped object: one entry point per kind of device, with the same body and maps.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};
use toa_common::{follow::Decision, inspect::Inspected, skip_reason::SkipReason, wire::view::Link};
use toa_ebpf::{
    NEXT,
    ingress::{Report, ingress},
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

/// The version of what this object shares with user space. Its name is [`toa_common::object::SECTION`].
#[unsafe(link_section = "toa_format")]
#[unsafe(no_mangle)]
pub static FORMAT: [u8; 4] = toa_common::object::STAMP;

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
