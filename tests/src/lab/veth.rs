//! Veth pairs between network namespaces.

use std::net::IpAddr;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index};

use toa_packets::builder::{DESTINATION_STATION, SOURCE_STATION};

use crate::lab::{netlink, netns::Namespace};

/// Largest MTU of a veth device, in bytes.
pub const MAX_MTU: u32 = 65_535;

/// One end of a pair.
#[derive(Clone, Debug)]
pub struct Device {
    /// The namespace that it is in.
    pub namespace: Namespace,
    /// Its name in that namespace.
    pub name: String,
}

/// Joins two namespaces by a veth pair with the given names and sets both ends up.
pub fn pair(near: (&Namespace, &str), far: (&Namespace, &str), mtu: u32) -> Result<(Device, Device)> {
    let far_path = far.0.path();
    let far_path = far_path.to_str().context("a path that is no text")?;
    let mtu = mtu.to_string();
    // The addresses of the packet builder's frames, so that the far device takes them for its own.
    let [near_station, far_station] = [SOURCE_STATION, DESTINATION_STATION].map(mac);
    let mut make = vec!["link", "add", near.1, "address", &near_station, "mtu", &mtu, "type", "veth"];
    make.extend(["peer", "name", far.1, "address", &far_station, "mtu", &mtu, "netns", far_path]);
    near.0.ip(&make)?;
    let device = |end: (&Namespace, &str)| -> Result<Device> {
        end.0.ip(&["link", "set", end.1, "up"])?;
        Ok(Device { namespace: end.0.clone(), name: end.1.to_owned() })
    };
    Ok((device(near)?, device(far)?))
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

impl Device {
    /// Adds an address that is usable at once.
    pub fn add_address(&self, address: IpAddr, prefix_length: u8) -> Result<()> {
        let address = format!("{address}/{prefix_length}");
        let add = ["address", "add", &address, "dev", &self.name];
        let at_once: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.namespace.ip(&[&add, at_once].concat()).map(drop)
    }

    /// Turns GRO, the merging of received segments, on or off.
    pub fn set_gro(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        self.namespace.output("ethtool", &["-K", &self.name, "gro", state]).map(drop)
    }

    /// Turns TSO and GSO, the sending of segments that are split later, on or off.
    pub fn set_tso(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        self.namespace.output("ethtool", &["-K", &self.name, "tso", state, "gso", state]).map(drop)
    }

    /// Sets the size up to which the device sends merged packets and merges received ones (BIG TCP).
    pub fn set_max_size(&self, bytes: u32) -> Result<()> {
        let index = self.index()?;
        self.namespace.run(|| netlink::set_max_size(index, bytes))
    }

    /// Returns its index.
    pub fn index(&self) -> Result<u32> {
        self.namespace.run(|| {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
            Ok(name_to_index(socket, &self.name)?)
        })
    }

    /// Acknowledges every segment from the neighbours in `network` at once.
    pub fn acknowledge_at_once(&self, network: &str) -> Result<()> {
        self.namespace.ip(&["route", "change", network, "dev", &self.name, "quickack", "1"]).map(drop)
    }
}
