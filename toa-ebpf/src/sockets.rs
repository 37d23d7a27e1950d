//! The object that reports TCP sockets: an iterator (`bpf_iter/tcp`), which the kernel calls for each socket of the
//! network namespace of the process that reads it.
//!
//! It is an object of its own, because kernels without BTF or TCP iterators must still load the other one.
#![no_std]
#![no_main]

mod socket_iterator;

use core::ptr::read_volatile;

use aya_ebpf::{cty::c_void, helpers::bpf_probe_read_kernel};
use toa_common::socket::{Entry, LENGTH_IPV4, LENGTH_IPV6, SocketLayout, SocketRecord, UserData};

use socket_iterator::{Context, NEXT};

/// `TCP_ESTABLISHED` of `net/tcp_states.h`. Sockets in this state are whole ones (`struct tcp_sock`).
const ESTABLISHED: u8 = 1;

/// Where the fields are in this kernel, written by user space before the program is loaded.
#[unsafe(no_mangle)]
static LAYOUT: SocketLayout = SocketLayout::UNSET;

/// Writes a [`SocketRecord`] for each established socket.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn toa_sockets(context: *const Context) -> i32 {
    // SAFETY: the kernel passes such a context.
    let context = unsafe { &*context };
    let socket = context.socket();
    if !socket.is_null()
        && let Some(record) = read(socket)
    {
        context.write(&record);
    }
    NEXT
}

/// Reads an established socket.
#[inline(always)]
fn read(socket: *const c_void) -> Option<SocketRecord> {
    // SAFETY: the layout is initialised and does not change while the program is loaded.
    let layout = unsafe { read_volatile(&raw const LAYOUT) };
    let state: u8 = field(socket, layout.state)?;
    if state != ESTABLISHED {
        return None;
    }
    let cookie = field(socket, layout.cookie)?;
    let unknown: u8 = field(socket, layout.saw_unknown)?;
    let user_data: u64 = field(socket, layout.user_data)?;
    let mut record = SocketRecord {
        cookie,
        option: [0; 5],
        option_length: 0,
        saw_unknown: u8::from(u32::from(unknown) & layout.saw_unknown_mask != 0),
        _unused: 0,
    };
    match UserData::of(user_data) {
        UserData::InPlace if user_data != 0 => {
            let [first, second, ..] = &mut record.option;
            (*first, *second) = (user_data as u32, (user_data >> 32) as u32);
            record.option_length = LENGTH_IPV4;
        }
        UserData::Pointer => {
            // SAFETY: the helper accepts any address, and fails if nothing is there.
            let entry = unsafe { bpf_probe_read_kernel(user_data as *const Entry) };
            // The pointer may be another owner's, to anything.
            if let Ok(entry) = entry
                && entry.socket == socket as u64
            {
                record.option = entry.option;
                record.option_length = LENGTH_IPV6;
            }
        }
        UserData::InPlace | UserData::Tagged => {}
    }
    Some(record)
}

/// Reads a field of a socket.
#[inline(always)]
fn field<T>(socket: *const c_void, offset: u32) -> Option<T> {
    // SAFETY: the helper accepts any address, and fails if nothing is there.
    unsafe { bpf_probe_read_kernel(socket.byte_add(offset as usize).cast()) }.ok()
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

/// The licence under which the kernel offers `bpf_probe_read_kernel` and `bpf_seq_write`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
