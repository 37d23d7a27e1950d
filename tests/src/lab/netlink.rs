//! Device settings that the installed `ip` may be too old for.

use std::io;

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketType, recv, send};

/// Attributes of the largest merged packet that a device sends, for IPv6 and IPv4 (`linux/if_link.h`).
const GSO_MAX_SIZE: [u16; 2] = [41, 63];
/// Attributes of the largest merged packet that a device builds from received ones, for IPv6 and IPv4.
const GRO_MAX_SIZE: [u16; 2] = [58, 64];

/// Combined size of `nlmsghdr` and `ifinfomsg`, in bytes.
const HEADER: usize = 16 + 16;

/// Lets the device of this index, in the calling thread's namespace, send and build packets of this many
/// bytes (BIG TCP).
pub fn set_max_size(index: u32, bytes: u32) -> Result<()> {
    let mut message = vec![0; HEADER];
    for attribute in GSO_MAX_SIZE.into_iter().chain(GRO_MAX_SIZE) {
        message.extend(8_u16.to_ne_bytes());
        message.extend(attribute.to_ne_bytes());
        message.extend(bytes.to_ne_bytes());
    }
    let length = u32::try_from(message.len())?.to_ne_bytes();
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK)?.to_ne_bytes();
    let parts: [(usize, &[u8]); 4] =
        [(0, &length), (4, &libc::RTM_NEWLINK.to_ne_bytes()), (6, &flags), (16 + 4, &index.to_ne_bytes())];
    for (at, part) in parts {
        message.iter_mut().skip(at).zip(part).for_each(|(to, from)| *to = *from);
    }
    // Protocol 0 is `NETLINK_ROUTE`.
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&socket, &message, rustix::net::SendFlags::empty()).context("asking for packets of more bytes")?;
    let mut answer = [0; 4096];
    let (_, length) = recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    ensure!(length >= 20, "no answer");
    let error = answer.get(16..).and_then(<[u8]>::first_chunk).context("no answer")?;
    match i32::from_ne_bytes(*error) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)).context("packets of more bytes"),
    }
}
