//! The arguments and results of functions and system calls. Where they are depends on the machine, but the object does
//! not: user space says it.

use core::ptr::read_volatile;

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_probe_read_kernel, bpf_probe_read_user},
};
use toa_common::plaintext::{READING_CALLS, TaskLayout};

/// Where the fields are in this kernel, written by user space before the programs are loaded.
#[unsafe(no_mangle)]
pub(super) static TASK_LAYOUT: TaskLayout = TaskLayout::UNSET;

/// Reads a value of [`TASK_LAYOUT`]. The compiler would fold those that are in the object.
macro_rules! layout {
    ($($field:tt)+) => {{
        // SAFETY: the layout is initialised and does not change while the programs are loaded.
        unsafe { core::ptr::read_volatile(&raw const $crate::plaintext::registers::TASK_LAYOUT.$($field)+) }
    }};
}
pub(super) use layout;

/// The registers of a thread, a `struct pt_regs` of the kernel.
#[derive(Clone, Copy)]
pub(super) struct Registers(u64);

impl Registers {
    /// Returns the registers that are the context of a uprobe.
    #[inline(always)]
    pub(super) fn of(ctx: &impl EbpfContext) -> Self {
        Self(ctx.as_ptr() as u64)
    }

    /// Returns the registers at this address.
    #[inline(always)]
    pub(super) fn at(address: u64) -> Self {
        Self(address)
    }

    /// Returns an argument, counted from 0.
    #[inline(always)]
    pub(super) fn argument<const N: usize>(self) -> u64 {
        const { assert!(N < 4) };
        // SAFETY: the index is below the array's length, and the layout does not change.
        self.read(unsafe { read_volatile((&raw const TASK_LAYOUT.arguments).cast::<u32>().add(N)) })
    }

    /// Returns a function's result.
    #[inline(always)]
    pub(super) fn result(self) -> u64 {
        self.read(layout!(result))
    }

    /// Returns the stack pointer.
    #[inline(always)]
    pub(super) fn stack(self) -> u64 {
        self.read(layout!(stack))
    }

    /// Returns whether a function has returned at whose entry the stack pointer was `stack`.
    #[inline(always)]
    pub(super) fn is_return_to(self, stack: u64) -> bool {
        self.stack() == stack.wrapping_add(u64::from(layout!(return_bytes)))
    }

    #[inline(always)]
    fn read(self, offset: u32) -> u64 {
        read_kernel(self.0, offset).unwrap_or(0)
    }
}

/// Returns whether a system call of this number reads from the descriptor that is its first argument.
#[inline(always)]
pub(super) fn is_reading_call(number: u32) -> bool {
    let mut is_one = false;
    for index in 0..READING_CALLS {
        // SAFETY: the index is below the array's length, and the layout does not change.
        let reading =
            unsafe { read_volatile((&raw const TASK_LAYOUT.reading_calls).cast::<u32>().add(index)) };
        is_one |= number == reading;
    }
    is_one
}

/// Reads a field of a struct in the kernel's memory.
#[inline(always)]
pub(super) fn read_kernel<T>(address: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper accepts any address, and fails if nothing is there.
    unsafe { bpf_probe_read_kernel((address as *const u8).wrapping_add(offset as usize).cast()) }.ok()
}

/// Reads a value in this process's memory.
#[inline(always)]
pub(super) fn read_user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper accepts any address, and fails if nothing is there.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
