//! Baselines. For the cost of probes, programs that do nothing. For the classifier's, a program that does nothing, and one that
//! does the minimum of any classifier, which is to read the headers of a plain IPv4 packet and look up its connection.
#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{classifier, map, uprobe, uretprobe},
    maps::LruHashMap,
    programs::{ProbeContext, RetProbeContext, TcContext},
};
use toa_common::{
    address::Address,
    field::{field, ne16, ne32},
    flow::Flow,
    flow_key::FlowKey,
    limits::MAX_FLOWS,
};

/// The verdict that leaves the packet to the next program.
const NEXT: i32 = -1;

/// A map with the type, key and value of the classifier's.
#[map]
static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// Length of the headers that are read, in bytes: Ethernet 14, IPv4 without options 20, TCP ports 4.
const HEADERS_LEN: usize = 38;

/// Does nothing.
#[classifier]
fn toa_bench_empty(_ctx: TcContext) -> i32 {
    NEXT
}

/// Reads the headers and looks up the connection.
#[classifier]
fn toa_bench_reference(ctx: TcContext) -> i32 {
    let start = ctx.data();
    if start + HEADERS_LEN > ctx.data_end() {
        return NEXT;
    }
    // SAFETY: the check above ensures that `HEADERS_LEN` bytes are before the packet's end.
    let headers = unsafe { &*(start as *const [u8; HEADERS_LEN]) };
    let [_, protocol] = *field::<22, 2, _>(headers);
    if ne16(field::<12, 2, _>(headers)) != 0x0800_u16.to_be() || protocol != 6 {
        return NEXT;
    }
    let key = FlowKey {
        source: mapped(ne32(field::<26, 4, _>(headers))),
        destination: mapped(ne32(field::<30, 4, _>(headers))),
        ports: ne32(field::<34, 4, _>(headers)),
    };
    // The verdict depends on the result, or the compiler would remove the lookup.
    let key = &key;
    if FLOWS.get_ptr(key).is_some() { 0 } else { NEXT }
}

#[inline(always)]
fn mapped(address: u32) -> Address {
    Address([0, 0, 0xffff_u32.to_be(), address])
}

/// Does nothing at the entry of a function.
#[uprobe]
fn toa_bench_entry(_ctx: ProbeContext) {}

/// Does nothing at the return of a function.
#[uretprobe]
fn toa_bench_return(_ctx: RetProbeContext) {}

/// The licence of the object.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
