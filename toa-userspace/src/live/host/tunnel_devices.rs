//! The devices of tunnels, which have the packets inside.

use std::{fs, path::Path};

use super::interfaces::interface_index;

/// A kind of device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TunnelDevice {
    /// `ipip`, `sit` and `ip6tnl`.
    IpInIp,
    /// `gre`, `ip6gre` and those with Ethernet inside.
    Gre,
    /// `vxlan`.
    Vxlan,
    /// `geneve`.
    Geneve,
    /// `ppp`.
    Ppp,
    /// `vlan`.
    Vlan,
    /// None: the packets inside are on no other device.
    None,
}

impl TunnelDevice {
    /// Returns whether it has this hardware type (`ARPHRD_*` of `linux/if_arp.h`) or device type (`DEVTYPE`).
    fn is(self, hardware: &str, device: &str) -> bool {
        match self {
            Self::IpInIp => matches!(hardware, "768" | "769" | "776"),
            Self::Gre => matches!(hardware, "778" | "823") || matches!(device, "gretap" | "ip6gretap"),
            Self::Vxlan => device == "vxlan",
            Self::Geneve => device == "geneve",
            Self::Ppp => hardware == "512",
            Self::Vlan => device == "vlan",
            Self::None => false,
        }
    }
}

/// Returns the names of our network namespace's devices of this kind, sorted, without those that the kernel makes with
/// the module, such as `sit0`. LVS uses `tunl0`, so that counts. They are unknown where `/sys` is that of another network
/// namespace.
pub fn tunnel_devices(kind: TunnelDevice) -> Vec<String> {
    devices_in(Path::new("/sys/class/net"), kind, |name, index| interface_index(name) == Some(index))
}

fn devices_in(directory: &Path, kind: TunnelDevice, is_ours: impl Fn(&str, u32) -> bool) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let read = |name: &str, file: &str| {
        let text = fs::read_to_string(directory.join(name).join(file)).unwrap_or_default();
        text.trim().to_owned()
    };
    let mut found: Vec<String> = names
        .filter(|name| {
            let uevent = read(name, "uevent");
            let device = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default();
            kind.is(&read(name, "type"), device)
                && !(matches!(kind, TunnelDevice::IpInIp | TunnelDevice::Gre) && is_fallback(name))
                && read(name, "ifindex").parse().is_ok_and(|index| is_ours(name, index))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Returns whether the kernel made a device with this name when it loaded the module.
fn is_fallback(name: &str) -> bool {
    matches!(name, "sit0" | "ip6tnl0" | "gre0" | "gretap0" | "ip6gre0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_their_type() {
        let directory = std::env::temp_dir().join(format!("toa-devices-{}", std::process::id()));
        for (index, name, hardware, uevent) in [
            (1, "eth0", "1", "INTERFACE=eth0\nIFINDEX=1\n"),
            (2, "tunl0", "768", "INTERFACE=tunl0\nIFINDEX=2\n"),
            (3, "sit0", "776", "INTERFACE=sit0\n"),
            (4, "six1", "776", "INTERFACE=six1\n"),
            (5, "gre1", "778", "INTERFACE=gre1\n"),
            (6, "vx7", "1", "DEVTYPE=vxlan\nINTERFACE=vx7\n"),
            (7, "gnv", "1", "DEVTYPE=geneve\n"),
            (8, "ppp0", "512", "DEVTYPE=ppp\n"),
            (9, "eth0.7", "1", "DEVTYPE=vlan\n"),
            (10, "gre2", "778", "INTERFACE=gre2\n"),
        ] {
            let device = directory.join(name);
            fs::create_dir_all(&device).unwrap();
            for (file, text) in [("type", hardware), ("uevent", uevent), ("ifindex", &format!("{index}\n"))] {
                fs::write(device.join(file), text).unwrap();
            }
        }
        // The last one is of another network namespace.
        let found = |kind| devices_in(&directory, kind, |_, index| index != 10);
        assert_eq!(found(TunnelDevice::IpInIp), ["six1", "tunl0"]);
        assert_eq!(found(TunnelDevice::Gre), ["gre1"]);
        assert_eq!(found(TunnelDevice::Vxlan), ["vx7"]);
        assert_eq!(found(TunnelDevice::Geneve), ["gnv"]);
        assert_eq!(found(TunnelDevice::Ppp), ["ppp0"]);
        assert_eq!(found(TunnelDevice::Vlan), ["eth0.7"]);
        assert_eq!(found(TunnelDevice::None), [""; 0]);
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(tunnel_devices(TunnelDevice::None), [""; 0]);
    }
}
