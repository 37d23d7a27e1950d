//! The names of this host and of its interfaces. [`super::links`] lists the interfaces.

use rustix::{
    fd::OwnedFd,
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
    index_to_name(any_socket()?, index).ok()
}

/// Returns the index of the interface with this name, if there is one.
pub fn interface_index(name: &str) -> Option<u32> {
    name_to_index(any_socket()?, name).ok()
}

/// Opens a socket for the interface ioctls (`netdevice(7)`).
fn any_socket() -> Option<OwnedFd> {
    socket(AddressFamily::INET, SocketType::DGRAM, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interface_is_the_loopback() {
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!((interface_index("lo"), interface_index("nosuch0")), (Some(1), None));
        assert_eq!(interface_name(0), None);
        assert_eq!(interface_name(u32::MAX >> 1), None);
        assert!(!name().is_empty());
    }
}
