//! The kernel half of toa-tc, from which both objects are linked: the shipped one and the test probe.
//!
//! Responsible for giving packets to the shared classification, for the maps, and for streaming the packets of
//! followed connections. Not responsible for any decision: those are in `toa-common`. Nothing here can change
//! what happens to a packet; the entry points return one constant.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod counters;
mod emit;
pub mod ingress;
mod maps;
mod scratch;
mod skb;

/// The verdict, always: leave the packet to the next program (`TC_ACT_UNSPEC`, which is also `TCX_NEXT`).
pub const NEXT: i32 = -1;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // A panic that could be reached would not load: the verifier refuses endless loops.
    loop {}
}
