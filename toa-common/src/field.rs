//! Reading integers from headers with single loads.
//!
//! The bytes of a header have alignment 1, so on the BPF target the compiler reads an integer byte by byte and combines
//! the bytes, which takes ten instructions per field. The kernel allows unaligned reads of packets on the machines that
//! this runs on, but the compiler's own switch for that would also misalign the stack, which the verifier rejects.
//! So this module loads each field with one assembly instruction, and only through references into packets. The
//! instruction is not marked pure; otherwise the compiler could move it before the check that makes it valid.

/// Returns the `N` bytes of `header` at offset `AT`.
#[inline(always)]
pub fn field<const AT: usize, const N: usize, const M: usize>(header: &[u8; M]) -> &[u8; N] {
    const { assert!(AT + N <= M) };
    // The assertion makes the default unreachable, and the compiler removes it.
    header.get(AT..).and_then(|rest| rest.first_chunk()).unwrap_or(const { &[0; N] })
}

/// Reads four bytes in native byte order.
#[inline(always)]
pub fn ne32(bytes: &[u8; 4]) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let value: u64;
        // SAFETY: reads the four bytes that the reference covers.
        unsafe {
            core::arch::asm!("{0} = *(u32 *)({1} + 0)", out(reg) value, in(reg) bytes, options(readonly, nostack));
        }
        value as u32
    }
    #[cfg(not(target_arch = "bpf"))]
    u32::from_ne_bytes(*bytes)
}

/// Reads two bytes in native byte order.
#[inline(always)]
pub fn ne16(bytes: &[u8; 2]) -> u16 {
    #[cfg(target_arch = "bpf")]
    {
        let value: u64;
        // SAFETY: reads the two bytes that the reference covers.
        unsafe {
            core::arch::asm!("{0} = *(u16 *)({1} + 0)", out(reg) value, in(reg) bytes, options(readonly, nostack));
        }
        value as u16
    }
    #[cfg(not(target_arch = "bpf"))]
    u16::from_ne_bytes(*bytes)
}

/// Reads four bytes in network order.
#[inline(always)]
pub fn be32(bytes: &[u8; 4]) -> u32 {
    u32::from_be(ne32(bytes))
}

/// Reads two bytes in network order.
#[inline(always)]
pub fn be16(bytes: &[u8; 2]) -> u16 {
    u16::from_be(ne16(bytes))
}

/// Returns the byte of `header` at offset `AT`.
#[inline(always)]
pub fn byte<const AT: usize, const M: usize>(header: &[u8; M]) -> u8 {
    let [byte] = *field::<AT, 1, M>(header);
    byte
}
