//! The clients in the sockets of connections.

use core::ptr::null_mut;

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    btf_maps::SkStorage,
    cty::c_void,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
    macros::btf_map,
};
use toa_common::remembered::Remembered;

use crate::ops::Ops;

/// The clients of open connections, in their sockets. Pinned by user space.
#[btf_map]
static REMEMBERED: SkStorage<Remembered> = SkStorage::new();

fn map() -> *mut c_void {
    (&raw const REMEMBERED).cast_mut().cast()
}

/// Inserts a client into the connection's socket. Returns whether there was memory for it.
#[inline(always)]
pub(crate) fn insert(ops: Ops<'_>, remembered: &mut Remembered) -> bool {
    !get(ops, (&raw mut *remembered).cast()).is_null()
}

/// Returns the client in the connection's socket, or an empty one that was inserted. The kernel calls the program for one
/// packet of a connection after the other, so nothing else writes it. `None` if there was no memory for it.
#[inline(always)]
pub(crate) fn get_or_insert(ops: Ops<'_>) -> Option<&mut Remembered> {
    // SAFETY: the pointer is from the map and valid while the program runs.
    unsafe { get(ops, null_mut()).as_mut() }
}

/// Removes the client from the connection's socket.
#[inline(always)]
pub(crate) fn remove(ops: Ops<'_>) {
    let socket = ops.socket();
    if !socket.is_null() {
        // SAFETY: the socket is the context's.
        unsafe { bpf_sk_storage_delete(map(), socket) };
    }
}

#[inline(always)]
fn get(ops: Ops<'_>, initial: *mut c_void) -> *mut Remembered {
    let socket = ops.socket();
    if socket.is_null() {
        return null_mut();
    }
    // SAFETY: the socket is the context's, and the initial value is null, which means zeros, or a whole value.
    unsafe { bpf_sk_storage_get(map(), socket, initial, BPF_SK_STORAGE_GET_F_CREATE.into()).cast() }
}
