//! From a descriptor of the current process to its connection.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use toa_common::{address::Address, flow_key::FlowKey};

use super::registers::{layout, read_kernel};

/// `AF_INET` of `linux/socket.h`.
const IPV4: u16 = 2;
/// `AF_INET6` of `linux/socket.h`.
const IPV6: u16 = 10;
/// `IPPROTO_TCP` of `linux/in.h`.
const TCP: u16 = 6;

/// Returns the connection of a TCP socket of the run's network namespace, as its client's packets have it.
#[inline(always)]
pub(super) fn connection(descriptor: u32) -> Option<FlowKey> {
    let sock = sock(descriptor)?;
    let protocol: u16 = read_kernel(sock, layout!(protocol))?;
    let net: u64 = read_kernel(sock, layout!(net))?;
    let namespace: u32 = read_kernel(net, layout!(net_inode))?;
    if protocol != TCP || namespace != layout!(namespace) {
        return None;
    }
    let (source, destination) = match read_kernel::<u16>(sock, layout!(family))? {
        IPV4 => (ipv4(sock, layout!(peer_ipv4))?, ipv4(sock, layout!(local_ipv4))?),
        IPV6 => {
            let address = |offset| read_kernel(sock, offset).map(Address);
            (address(layout!(peer_ipv6))?, address(layout!(local_ipv6))?)
        }
        _ => return None,
    };
    let peer_port_be: u16 = read_kernel(sock, layout!(peer_port))?;
    let local_port: u16 = read_kernel(sock, layout!(local_port))?;
    let ([a, b], [c, d]) = (peer_port_be.to_ne_bytes(), local_port.to_be_bytes());
    Some(FlowKey { source, destination, ports: u32::from_ne_bytes([a, b, c, d]) })
}

#[inline(always)]
fn ipv4(sock: u64, offset: u32) -> Option<Address> {
    read_kernel::<[u8; 4]>(sock, offset).map(|bytes| Address::from_ipv4(&bytes))
}

/// Returns the address of the `struct sock` of a descriptor, if it is a socket.
#[inline(always)]
fn sock(descriptor: u32) -> Option<u64> {
    // SAFETY: the helper has no arguments.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read_kernel(task, layout!(files))?;
    let table: u64 = read_kernel(files, layout!(table))?;
    let len: u32 = read_kernel(table, layout!(table_len))?;
    if descriptor >= len {
        return None;
    }
    let descriptors: u64 = read_kernel(table, layout!(descriptors))?;
    let file: u64 = read_kernel(descriptors.wrapping_add(u64::from(descriptor).wrapping_mul(8)), 0)?;
    let socket: u64 = read_kernel(file, layout!(private_data))?;
    // Other files have something else there, which does not point back.
    let of: u64 = read_kernel(socket, layout!(socket_file))?;
    if file == 0 || of != file {
        return None;
    }
    read_kernel(socket, layout!(socket_sock)).filter(|sock| *sock != 0)
}
