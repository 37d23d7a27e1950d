//! Responsible for the names of this host and of its interfaces. Not responsible for addresses.

use rustix::{
    net::{AddressFamily, SocketType, netdevice::index_to_name, socket},
    system::uname,
};

/// The host's name, as `uname -n` says it.
#[must_use]
pub fn name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// The name of the interface with this index, if it is there.
#[must_use]
pub fn interface_name(index: u32) -> Option<String> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    index_to_name(socket, index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interface_is_the_loopback() {
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(interface_name(0), None);
        assert!(!name().is_empty());
    }
}
