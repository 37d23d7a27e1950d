//! What this host's TCP knows.

use std::{fs, io, os::fd::AsRawFd as _};

use rustix::net::{AddressFamily, SocketType, socket};
use toa_common::wire::toa_pairs::{FAST_OPEN_KIND, MD5_KIND, TCP_AO_KIND};

/// `TCP_AO_ADD_KEY` (Linux 6.7, `include/uapi/linux/tcp.h`).
const TCP_AO_ADD_KEY: libc::c_int = 38;
/// Bit of `net.ipv4.tcp_fastopen` without which no server of the network namespace takes data from a SYN.
const FAST_OPEN_SERVER: u32 = 2;

/// Returns the kinds of options that the TCP of this network namespace ignores, although other hosts discard signed
/// segments or take data from a SYN because of them. Reads nothing that changes the system.
pub fn ignored_options() -> Vec<u8> {
    let fast_open = fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen").ok();
    let fast_open = fast_open.and_then(|text| text.trim().parse::<u32>().ok());
    let unknown = [
        (MD5_KIND, !knows(libc::TCP_MD5SIG)),
        (TCP_AO_KIND, !knows(TCP_AO_ADD_KEY)),
        (FAST_OPEN_KIND, fast_open.is_some_and(|bits| bits & FAST_OPEN_SERVER == 0)),
    ];
    unknown.into_iter().filter(|(_, is_unknown)| *is_unknown).map(|(kind, _)| kind).collect()
}

/// Returns whether the kernel knows a socket option. It refuses the keys of signatures because their size is wrong.
fn knows(option: libc::c_int) -> bool {
    let Ok(socket) = socket(AddressFamily::INET, SocketType::STREAM, None) else {
        return true;
    };
    let value: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the pointer refers to a value of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            std::ptr::from_ref(&value).cast(),
            length,
        )
    };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOPROTOOPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_options_differ() {
        assert!(knows(libc::TCP_NODELAY));
        assert!(!knows(0x7fff));
    }
}
