//! The shipped object.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};

/// Ingress on devices with an Ethernet header.
#[classifier]
pub fn toa_ingress_eth(_ctx: TcContext) -> i32 {
    -1
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence that lets the kernel offer its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
