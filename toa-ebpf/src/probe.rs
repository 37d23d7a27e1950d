//! The test object: the shipped classification, with a digest of what it found as the result of the run. The
//! shipped program's verdict is constant, so a test could not see by it what was decided.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};
use toa_common::{
    digest::digest, follow::Decision, inspect::Inspected, packet::Link, skip_reason::SkipReason,
};
use toa_ebpf::ingress::ingress;

/// [`Link::Ethernet`] with the digest as the result.
#[classifier]
fn toa_probe_eth(ctx: TcContext) -> i32 {
    // Not the function itself: called through a pointer, its argument would be in memory, which the verifier would
    // take apart.
    let report = |found: Result<(&Inspected, Decision), SkipReason>| digest(found);
    ingress(&ctx, Link::Ethernet, report).cast_signed()
}

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
