//! The lab's programs.
#![no_std]
#![no_main]

use aya_ebpf::{macros::classifier, programs::TcContext};

/// Placeholder entry.
#[classifier]
pub fn lab(_ctx: TcContext) -> i32 {
    -1
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
