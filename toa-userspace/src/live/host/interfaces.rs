//! The names of this host and of its interfaces, and whether an interface still exists.

use rustix::{
    io::{self, Errno},
    net::{
        AddressFamily, SocketType,
        netdevice::{index_to_name, name_to_index},
        socket,
    },
    system::uname,
};

/// Returns the host's name, as `uname -n` prints it.
pub fn name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// Returns the name of the interface with this index, if there is one.
pub fn interface_name(index: u32) -> Option<String> {
    look_up(index).ok()
}

/// Returns whether our network namespace has no interface with this index. The kernel assigns an index again only after
/// all others, so a new interface of the same name has another index.
pub fn is_interface_gone(index: u32) -> bool {
    look_up(index) == Err(Errno::NODEV)
}

/// Returns the index of the interface with this name, if there is one.
pub fn interface_index(name: &str) -> Option<u32> {
    name_to_index(any_socket().ok()?, name).ok()
}

fn look_up(index: u32) -> io::Result<String> {
    index_to_name(any_socket()?, index)
}

/// Opens a socket for the interface ioctls (`netdevice(7)`).
fn any_socket() -> io::Result<rustix::fd::OwnedFd> {
    socket(AddressFamily::INET, SocketType::DGRAM, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interface_is_the_loopback() {
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!((interface_index("lo"), interface_index("nosuch0")), (Some(1), None));
        assert_eq!(interface_name(0), None);
        assert!(is_interface_gone(u32::MAX >> 1) && !is_interface_gone(1));
        assert!(!name().is_empty());
    }
}
