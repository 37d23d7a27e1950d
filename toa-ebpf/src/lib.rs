//! The kernel part of toa-tc, linked into both objects: the shipped one and the test probe.
//!
//! It accesses packets and maps, and copies the packets of followed connections to user space. Parsing and decisions
//! are in `toa-common`. Nothing here can change what happens to a packet: the shipped entry points always return
//! [`NEXT`].
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod atomic;
mod body;
mod counters;
mod emit;
mod flow_changes;
mod follow;
pub mod ingress;
mod learn;
mod maps;
mod outcome;
pub mod plaintext;
mod scratch;
mod server_socket;
mod skb;

/// The verdict on every packet: leave it to the next program (`TC_ACT_UNSPEC`, which is also `TCX_NEXT`).
pub const NEXT: i32 = -1;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // An object with a reachable panic does not load, because the verifier rejects infinite loops.
    loop {}
}
