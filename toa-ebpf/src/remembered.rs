//! The object that reads what `toa-tc remember` has noted: an iterator (`bpf_iter/tcp`), which the kernel calls for each
//! socket of the network namespace of the process that reads it.
//!
//! It is an object of its own, because only commands that look for open connections load it.
#![no_std]
#![no_main]

mod socket_iterator;

use core::ptr::null_mut;

use aya_ebpf::{
    btf_maps::SkStorage,
    helpers::{bpf_get_socket_cookie, generated::bpf_sk_storage_get},
    macros::btf_map,
};
use toa_common::remembered::{Remembered, RememberedRecord};

use socket_iterator::{Context, NEXT};

/// The clients of open connections: the pinned map of `toa-tc remember`.
#[btf_map]
static REMEMBERED: SkStorage<Remembered> = SkStorage::new();

/// Writes a [`RememberedRecord`] for each connection whose client is remembered.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn toa_remembered(context: *const Context) -> i32 {
    // SAFETY: the kernel passes such a context.
    let context = unsafe { &*context };
    let socket = context.socket();
    if socket.is_null() {
        return NEXT;
    }
    let map = (&raw const REMEMBERED).cast_mut().cast();
    // SAFETY: the socket is the context's. The helper returns null for those without a client, and for handshakes.
    let remembered: *mut Remembered = unsafe { bpf_sk_storage_get(map, socket, null_mut(), 0) }.cast();
    // SAFETY: the pointer is from the map. The kernel holds the socket's lock, so nothing writes the value.
    if let Some(remembered) = unsafe { remembered.as_ref() }
        && remembered.is_named()
    {
        let record = RememberedRecord {
            // SAFETY: the socket is the context's.
            cookie: unsafe { bpf_get_socket_cookie(socket) },
            attribution: remembered.attribution,
        };
        context.write(&record);
    }
    NEXT
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // An object with a reachable panic does not load, because the verifier rejects infinite loops.
    loop {}
}

/// The version of what this object shares with user space. Its name is [`toa_common::object::SECTION`].
#[unsafe(link_section = "toa_format")]
#[unsafe(no_mangle)]
pub static FORMAT: [u8; 4] = toa_common::object::STAMP;

/// The licence under which the kernel offers `bpf_seq_write`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
