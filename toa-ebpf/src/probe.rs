//! The test object: the shipped classification, with a digest of what it found as the result of the run. The
//! shipped program's verdict is constant, so a test could not see by it what was decided.
#![no_std]
#![no_main]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the classifier attribute generates undocumented public functions"
)]

use aya_ebpf::{macros::classifier, programs::TcContext};
use toa_common::{digest::digest, packet::Link};
use toa_ebpf::ingress::ingress;

/// [`Link::Ethernet`] with the digest as the result.
#[classifier]
pub fn toa_probe_eth(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ethernet, #[inline(always)] |found| digest(found)).cast_signed()
}

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
