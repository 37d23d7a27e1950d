//! The test object: the shipped classification, which returns a digest of what it found. The verdict of the shipped
//! program is constant, so a test could not tell from it what was decided.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};
use toa_common::{follow::Decision, inspect::Inspected, skip_reason::SkipReason, wire::view::Link};
use toa_ebpf::ingress::{Report, ingress};
use toa_lab_ebpf::digest::digest_of;

/// Reports the digest to the test.
#[derive(Clone, Copy)]
struct Digest;

impl Report for Digest {
    #[inline(always)]
    fn found(self, inspected: &Inspected, decision: Decision) -> u32 {
        digest_of(inspected, decision)
    }

    #[inline(always)]
    fn skipped(self, reason: SkipReason) -> u32 {
        reason as u32
    }
}

/// Ingress on devices with an Ethernet header. Returns the digest.
#[classifier]
fn toa_probe_eth(ctx: TcContext) -> i32 {
    ingress(&ctx, Link::Ethernet, Digest).cast_signed()
}

/// The licence under which the kernel offers `bpf_perf_event_output`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
