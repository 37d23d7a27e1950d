//! The context of the program: a connection, and the packet that the kernel calls for.

use core::{mem::offset_of, ptr::read_volatile};

use aya_ebpf::{bindings::bpf_sock_ops, cty::c_void, programs::SockOpsContext};
use toa_common::{
    tcp_packet::SegmentKind,
    wire::{tcp::Tcp, view::PacketView as _},
};

use crate::header::Header;

/// The context.
#[derive(Clone, Copy)]
pub(crate) struct Ops<'a>(pub(crate) &'a SockOpsContext);

impl Ops<'_> {
    /// Returns the connection's socket; null if there is none.
    #[inline(always)]
    pub(crate) fn socket(self) -> *mut c_void {
        self.field(offset_of!(bpf_sock_ops, __bindgen_anon_2))
    }

    /// Returns the TCP header of the packet.
    #[inline(always)]
    pub(crate) fn header(self) -> Header {
        let start = self.field(offset_of!(bpf_sock_ops, __bindgen_anon_3));
        Header::new(start, self.field(offset_of!(bpf_sock_ops, __bindgen_anon_4)))
    }

    /// Returns the kind of the packet.
    #[inline(always)]
    pub(crate) fn segment_kind(self) -> SegmentKind {
        let flags = self.field::<u32>(offset_of!(bpf_sock_ops, skb_tcp_flags)) as u8;
        let len = self.field::<u32>(offset_of!(bpf_sock_ops, skb_len));
        let header_len = self.header().bytes(0).map_or(0, |fixed| Tcp(fixed).header_len());
        SegmentKind::new(flags, len > header_len)
    }

    /// Returns whether the kernel is asked for the calls of `flag`.
    #[inline(always)]
    pub(crate) fn is_set(self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    /// Asks the kernel for the calls of `flag`.
    #[inline(always)]
    pub(crate) fn set(self, flag: u32) {
        let _ = self.0.set_cb_flags((self.flags() | flag).cast_signed());
    }

    /// Asks the kernel for the calls of `flag` no longer.
    #[inline(always)]
    pub(crate) fn clear(self, flag: u32) {
        let _ = self.0.set_cb_flags((self.flags() & !flag).cast_signed());
    }

    #[inline(always)]
    fn flags(self) -> u32 {
        self.field(offset_of!(bpf_sock_ops, bpf_sock_ops_cb_flags))
    }

    /// Reads a field of the context. Volatile, because the verifier requires that each field is read by a load of its own
    /// and full width.
    #[inline(always)]
    fn field<T>(self, offset: usize) -> T {
        // SAFETY: the offset is that of a field of this type.
        unsafe { read_volatile(self.0.ops.byte_add(offset).cast()) }
    }
}
