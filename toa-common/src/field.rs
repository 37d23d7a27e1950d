//! Responsible for taking integers out of headers by single loads. Not responsible for where headers are.
//!
//! The bytes of a header have alignment 1, so on the BPF target the compiler reads an integer byte by byte and
//! puts it together: ten instructions a field. The kernel allows unaligned reads of packets on the machines it
//! runs on, but the compiler's own switch for that would also misalign the stack, which the verifier refuses.
//! Hence one load in assembly, for references into packets only. It is not declared pure, or it could be moved
//! before the check that makes it valid.

/// The `N` bytes of `header` from `AT` on.
#[inline(always)]
pub fn field<const AT: usize, const N: usize, const M: usize>(header: &[u8; M]) -> &[u8; N] {
    const { assert!(AT + N <= M) };
    // By the assertion the default is never taken, and the compiler knows.
    header.get(AT..).and_then(|rest| rest.first_chunk()).unwrap_or(const { &[0; N] })
}

/// Four bytes as they lie there.
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

/// Two bytes as they lie there.
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

/// Four bytes in network order.
#[inline(always)]
pub fn be32(bytes: &[u8; 4]) -> u32 {
    u32::from_be(ne32(bytes))
}

/// Two bytes in network order.
#[inline(always)]
pub fn be16(bytes: &[u8; 2]) -> u16 {
    u16::from_be(ne16(bytes))
}

/// One byte.
#[inline(always)]
pub fn byte<const AT: usize, const M: usize>(header: &[u8; M]) -> u8 {
    let [byte] = *field::<AT, 1, M>(header);
    byte
}
