//! A stand-in for the TOA module in the kernels of real servers: `getpeername` and the module's own socket option
//! return the client instead of the peer.
//!
//! The tests supply the clients. Programs that inspect sockets from outside, such as `ss`, still see the balancer.
#![no_std]
#![no_main]

use core::{
    mem::offset_of,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_sock, bpf_sock_addr, bpf_sockopt},
    helpers::bpf_get_netns_cookie,
    macros::{cgroup_sock_addr, cgroup_sockopt, map},
    maps::{Array, HashMap},
    programs::{SockAddrContext, SockoptContext},
};
use toa_lab_ebpf::{End, MAX_CLIENTS, NAT64_OPTION, mapped};

/// Allocates entries on insertion, because most labs use only a few.
const BPF_F_NO_PREALLOC: u32 = 1;

/// The return value of these programs. They answer, or leave the kernel's answer as it is, and never reject the call.
const GO_ON: i32 = 1;

/// `AF_INET`, from `linux/socket.h`.
const AF_INET: u32 = 2;
/// `IPPROTO_IP`, from `linux/in.h`.
const IPPROTO_IP: u32 = 0;

/// The cookie of the only network namespace whose sockets are handled (`SO_NETNS_COOKIE`).
#[map]
static NAMESPACE: Array<u64> = Array::with_max_entries(1, 0);

/// Clients, by the actual peers of sockets.
#[map]
static CLIENTS: HashMap<End, End> = HashMap::with_max_entries(MAX_CLIENTS, BPF_F_NO_PREALLOC);

/// IPv6 clients of IPv4 sockets, by the actual peers of the sockets.
#[map]
static NAT64_CLIENTS: HashMap<End, End> = HashMap::with_max_entries(MAX_CLIENTS, BPF_F_NO_PREALLOC);

/// Called on `getpeername` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
fn toa_module_ipv4(ctx: SockAddrContext) -> i32 {
    let address = offset_of!(bpf_sock_addr, user_ip4);
    let port = offset_of!(bpf_sock_addr, user_port);
    if is_concerned(&ctx) {
        let peer = End { address: mapped(word(&ctx, address)), port: word(&ctx, port) };
        // SAFETY: the entry of an open connection is not changed.
        if let Some(client) = unsafe { CLIENTS.get(peer) } {
            let [_, _, _, client_ipv4] = client.address;
            set_word(&ctx, address, client_ipv4);
            set_word(&ctx, port, client.port);
        }
    }
    GO_ON
}

/// Called on `getpeername` of an IPv6 socket, whose peer may have an IPv4-mapped address.
#[cgroup_sock_addr(getpeername6)]
fn toa_module_ipv6(ctx: SockAddrContext) -> i32 {
    let address = [0, 4, 8, 12].map(|at| offset_of!(bpf_sock_addr, user_ip6) + at);
    let port = offset_of!(bpf_sock_addr, user_port);
    if is_concerned(&ctx) {
        let peer = End { address: address.map(|at| word(&ctx, at)), port: word(&ctx, port) };
        // SAFETY: as above.
        if let Some(client) = unsafe { CLIENTS.get(peer) } {
            for (at, value) in address.into_iter().zip(client.address) {
                set_word(&ctx, at, value);
            }
            set_word(&ctx, port, client.port);
        }
    }
    GO_ON
}

/// Called after the kernel's own answer to every `getsockopt`.
#[cgroup_sockopt(getsockopt)]
fn toa_module_option(ctx: SockoptContext) -> i32 {
    let start = field::<u64>(&ctx, OPTVAL) as usize;
    let end = field::<u64>(&ctx, OPTVAL_END) as usize;
    if let Some(client) = nat64_client(&ctx)
        && start + size_of::<End>() <= end
    {
        // SAFETY: the buffer has room for an `End`, which needs an alignment of 4, and the kernel's buffers have that.
        unsafe { *(start as *mut End) = *client };
        set_word(&ctx, OPTLEN, size_of::<End>() as u32);
        set_word(&ctx, RETVAL, 0);
    } else if field::<u32>(&ctx, OPTLEN) as usize > end - start {
        // The value is longer than what the program sees, at most a page, so the call would fail. With 0, the kernel's
        // own answer remains as it is.
        set_word(&ctx, OPTLEN, 0);
    }
    GO_ON
}

const SK: usize = offset_of!(bpf_sockopt, __bindgen_anon_1);
const OPTVAL: usize = offset_of!(bpf_sockopt, __bindgen_anon_2);
const OPTVAL_END: usize = offset_of!(bpf_sockopt, __bindgen_anon_3);
const LEVEL: usize = offset_of!(bpf_sockopt, level);
const OPTNAME: usize = offset_of!(bpf_sockopt, optname);
const OPTLEN: usize = offset_of!(bpf_sockopt, optlen);
const RETVAL: usize = offset_of!(bpf_sockopt, retval);

/// Returns the IPv6 client of an IPv4 socket, if the module's option is requested.
#[inline(always)]
fn nat64_client(ctx: &SockoptContext) -> Option<&'static End> {
    if word(ctx, LEVEL) != IPPROTO_IP || word(ctx, OPTNAME) != NAT64_OPTION || !is_concerned(ctx) {
        return None;
    }
    let socket = field::<u64>(ctx, SK) as *const bpf_sock;
    // SAFETY: the pointer is to the kernel's view of the socket, of which each field may be read by a load of its own
    // and full width.
    let (family, address, port) = unsafe {
        (
            read_volatile(&raw const (*socket).family),
            read_volatile(&raw const (*socket).dst_ip4),
            read_volatile(&raw const (*socket).dst_port),
        )
    };
    if family != AF_INET {
        return None;
    }
    // SAFETY: the entry of an open connection is not changed.
    unsafe { NAT64_CLIENTS.get(End { address: mapped(address), port: port.into() }) }
}

/// Returns whether the socket belongs to the network namespace in [`NAMESPACE`].
#[inline(always)]
fn is_concerned(ctx: &impl EbpfContext) -> bool {
    // SAFETY: the helper accepts the contexts of these program types.
    NAMESPACE.get(0).is_some_and(|cookie| unsafe { bpf_get_netns_cookie(ctx.as_ptr()) } == *cookie)
}

/// Reads a word of the context.
#[inline(always)]
fn word(ctx: &impl EbpfContext, offset: usize) -> u32 {
    field(ctx, offset)
}

/// Reads a field of the context. Volatile, because the verifier requires that each field is read by a load of its own
/// and full width.
#[inline(always)]
fn field<T>(ctx: &impl EbpfContext, offset: usize) -> T {
    // SAFETY: the offset is that of an integer of this type in the context.
    unsafe { read_volatile(ctx.as_ptr().byte_add(offset).cast()) }
}

/// Writes a word of the context.
#[inline(always)]
fn set_word(ctx: &impl EbpfContext, offset: usize, value: u32) {
    // SAFETY: as in `field`, and the kernel allows programs of these types to write the words that they write here.
    unsafe { write_volatile(ctx.as_ptr().byte_add(offset).cast(), value) }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence of the object.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
