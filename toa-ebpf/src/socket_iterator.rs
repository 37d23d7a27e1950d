//! What the kernel passes to an iterator over TCP sockets (`bpf_iter/tcp`): the objects with such an iterator share this
//! module. It is not part of the library, because all maps of the library would come with it.

use aya_ebpf::{bindings::seq_file, cty::c_void, helpers::generated::bpf_seq_write};

/// Call me again for the next socket.
pub(crate) const NEXT: i32 = 0;

/// `struct bpf_iter_meta` of `linux/bpf.h`.
#[repr(C)]
struct Meta {
    output: *mut seq_file,
}

/// `struct bpf_iter__tcp` of `net/ipv4/tcp_ipv4.c`.
#[repr(C)]
pub(crate) struct Context {
    meta: *const Meta,
    /// Null after the last socket.
    socket: *mut c_void,
}

impl Context {
    /// Returns the socket; null after the last one.
    #[inline(always)]
    pub(crate) fn socket(&self) -> *mut c_void {
        self.socket
    }

    /// Writes a record. If it does not fit, the kernel calls again with the same socket.
    #[inline(always)]
    pub(crate) fn write<T: Copy>(&self, record: &T) {
        // SAFETY: the kernel's `meta` is never null, and the record has that many bytes.
        unsafe {
            bpf_seq_write((*self.meta).output, (&raw const *record).cast_mut().cast(), size_of::<T>() as u32)
        };
    }
}
