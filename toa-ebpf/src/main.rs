//! The shipped object: one entry point per kind of device, with the same body and maps.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};
use toa_common::packet::Link;
use toa_ebpf::{NEXT, ingress::ingress};

/// Ingress on devices with an Ethernet header.
#[classifier]
fn toa_ingress_eth(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ethernet, |_| 0);
    NEXT
}

/// Ingress on devices without a link header, such as tun.
#[classifier]
fn toa_ingress_ip(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ip, |_| 0);
    NEXT
}

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
