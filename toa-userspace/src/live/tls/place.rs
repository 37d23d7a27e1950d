//! Where in a TLS library a probe costs least, on x86-64.
//!
//! The kernel replaces an instruction by a breakpoint. It emulates a few instructions; a copy of any other is executed in a
//! single step, which is another exception. Under a hypervisor that one can cost more than all else: measured in a nested one,
//! 0.6 µs with emulation, and 30 to 40 µs without.

use std::collections::BTreeSet;

/// Instructions at the beginning of functions that are not emulated and change no register but the flags: `endbr64`, of those that
/// may be called by a pointer, and `test %rdi,%rdi`, of those that do nothing without an argument.
const PASSED_OVER: [&[u8]; 2] = [&[0xf3, 0x0f, 0x1e, 0xfa], &[0x48, 0x85, 0xff]];

/// `call` with a relative address of 4 bytes, which counts from the next instruction.
const CALL: u8 = 0xe8;
const CALL_BYTES: usize = 5;

/// Returns where at the beginning of a function a probe is best, in bytes: where the kernel emulates an instruction, and the
/// stack and all arguments are still those of the call. `None` if there is no such place.
pub(super) fn emulated(code: &[u8]) -> Option<u64> {
    let mut rest = code;
    while let Some(behind) = PASSED_OVER.iter().find_map(|instruction| rest.strip_prefix(*instruction)) {
        rest = behind;
    }
    is_emulated(rest).then_some((code.len() - rest.len()) as u64)
}

/// Returns whether the kernel emulates the instruction at the beginning of `code`: `push` of a register, and jumps and calls
/// (`push_setup_xol_ops` and `branch_setup_xol_ops` of `arch/x86/kernel/uprobes.c`).
fn is_emulated(code: &[u8]) -> bool {
    matches!(
        code,
        [0x50..=0x57 | 0x70..=0x7f | 0xe8 | 0xe9 | 0xeb | 0x90, ..]
            | [0x41, 0x50..=0x57, ..]
            | [0x0f, 0x80..=0x8f, ..]
    )
}

/// A function's code and its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code<'a> {
    /// The address of its first byte.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

/// Returns the address of the function that does the work of both `SSL_read` and `SSL_read_ex`, if they are those of OpenSSL (1.1.1
/// and later): the latter calls nothing else, passes its arguments on and returns the result; the former calls it with the same
/// arguments. `is_code` says whether an address is in executed code.
pub(super) fn common_callee(read: Code<'_>, read_ex: Code<'_>, is_code: impl Fn(u64) -> bool) -> Option<u64> {
    let mut callees: BTreeSet<_> = callees(read_ex);
    callees.retain(|callee| is_code(*callee));
    let callee = callees.pop_first()?;
    let is_same = callees.is_empty() && callee != read.address && self::callees(read).contains(&callee);
    is_same.then_some(callee)
}

/// Returns the addresses that a function calls, and some that only look so: each byte is taken for the first of an instruction.
fn callees(code: Code<'_>) -> BTreeSet<u64> {
    let calls = code.bytes.windows(CALL_BYTES).enumerate().filter_map(|(at, window)| {
        let [CALL, distance @ ..] = window else { return None };
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        let next = code.address.checked_add((at + CALL_BYTES) as u64)?;
        next.checked_add_signed(distance.into())
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_emulates_is_known() {
        assert_eq!(emulated(&[0x41, 0x55, 0x41, 0x54]), Some(0));
        assert_eq!(emulated(&[0x55]), Some(0));
        assert_eq!(emulated(&[0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x57]), Some(4));
        // test %rdi,%rdi; je
        assert_eq!(emulated(&[0x48, 0x85, 0xff, 0x0f, 0x84]), Some(3));
        assert_eq!(emulated(&[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x85, 0xff, 0x74]), Some(7));
        // sub $0x18,%rsp; mov %fs:0x28,%rax; test %rdi,%rdi; and nothing.
        for code in [&[0x48, 0x83, 0xec, 0x18][..], &[0x64, 0x48, 0x8b], &[0x48, 0x85, 0xff], &[]] {
            assert_eq!(emulated(code), None);
            assert_eq!(emulated(&[PASSED_OVER[0], code].concat()), None);
        }
    }

    /// A function at an address that calls others.
    fn calling(address: u64, callees: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0x48, 0x83, 0xec, 0x08];
        for callee in callees {
            let next = address + bytes.len() as u64 + 5;
            let distance = i32::try_from(callee.cast_signed() - next.cast_signed()).unwrap();
            bytes.push(CALL);
            bytes.extend(distance.to_le_bytes());
        }
        bytes.push(0xc3);
        bytes
    }

    #[test]
    fn the_function_behind_both_is_what_one_calls_alone_and_the_other_calls_too() {
        let find = |read: &[u64], read_ex: &[u64]| {
            let (read, read_ex) = (calling(0x5430, read), calling(0x54c0, read_ex));
            let [read, read_ex] =
                [(0x5430, &read), (0x54c0, &read_ex)].map(|(address, bytes)| Code { address, bytes });
            common_callee(read, read_ex, |address| (0x2000..0x9000).contains(&address))
        };
        assert_eq!(find(&[0x5290, 0x2100], &[0x5290]), Some(0x5290));
        // LibreSSL and BoringSSL: one calls the other, and perhaps what reports errors.
        assert_eq!(find(&[0x7000], &[0x5430]), None);
        assert_eq!(find(&[0x7000, 0x6000], &[0x7000, 0x5430]), None);
        assert_eq!(find(&[0x5290], &[]), None);
        // Not code.
        assert_eq!(find(&[0xa000], &[0xa000]), None);
    }
}
