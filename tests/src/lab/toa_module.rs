//! A stand-in for the TOA kernel module of real servers: in one namespace, a process that asks a socket for
//! its peer gets the real client. The clients come from the tests, not from options on the wire.
//!
//! A kernel module would affect the whole host and stay loaded. These programs affect the sockets of one
//! namespace and are detached with their last descriptor.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, include_bytes_aligned,
    maps::{Array, HashMap, MapData},
    programs::{CgroupAttachMode, CgroupSockAddr, CgroupSockopt},
};
use toa_lab_ebpf::{End, mapped};

use crate::lab::{cgroup, netns::Namespace};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_MODULE_OBJECT"));

/// Reports real clients for the sockets of one namespace, until it is dropped.
pub struct ToaModule {
    // Owns the programs, which are detached when this is dropped.
    _object: Ebpf,
    clients: HashMap<MapData, End, End>,
    nat64_clients: HashMap<MapData, End, End>,
}

impl ToaModule {
    /// Starts to answer for the sockets of `namespace` that this process and its children create.
    pub fn load(namespace: &Namespace) -> Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("loading the module's object")?;
        let mut map = |name: &str| object.take_map(name).with_context(|| format!("no map {name}"));
        let clients = map("CLIENTS")?.try_into()?;
        let nat64_clients = map("NAT64_CLIENTS")?.try_into()?;
        let mut cookie: Array<MapData, u64> = map("NAMESPACE")?.try_into()?;
        cookie.set(0, namespace.cookie()?, 0)?;
        let cgroup = cgroup::own()?;
        // Attached as links, of which any number can coexist whatever the mode. Older kernels accept no other
        // mode.
        let mode = CgroupAttachMode::Single;
        for name in ["toa_module_ipv4", "toa_module_ipv6"] {
            let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            program.attach(&cgroup, mode).with_context(|| format!("attaching {name}"))?;
        }
        let program = object.program_mut("toa_module_option").context("no program toa_module_option")?;
        let program: &mut CgroupSockopt = program.try_into()?;
        program.load().context("loading toa_module_option")?;
        program.attach(&cgroup, mode).context("attaching toa_module_option")?;
        Ok(Self { _object: object, clients, nat64_clients })
    }

    /// Makes sockets whose peer is `peer` report `client`.
    pub fn name_client(&mut self, peer: SocketAddr, client: SocketAddr) -> Result<()> {
        let is_ipv6 = |end: SocketAddr| end.ip().to_canonical().is_ipv6();
        ensure!(is_ipv6(peer) || !is_ipv6(client), "an IPv4 socket cannot say that its peer is {client}");
        Ok(self.clients.insert(end(peer), end(client), 0)?)
    }

    /// Makes IPv4 sockets whose peer is `peer` report `client` through the module's own socket option, and
    /// only there.
    pub fn name_nat64_client(&mut self, peer: SocketAddr, client: SocketAddrV6) -> Result<()> {
        ensure!(peer.ip().to_canonical().is_ipv4(), "{peer} is no peer of an IPv4 socket");
        Ok(self.nat64_clients.insert(end(peer), end(client.into()), 0)?)
    }
}

fn end(of: SocketAddr) -> End {
    let address = match of.ip() {
        IpAddr::V4(address) => mapped(address.to_bits().to_be()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
        }
    };
    End { address, port: of.port().to_be().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_the_bytes_of_the_network() {
        let bytes = |end: End| -> Vec<u8> {
            end.address.iter().chain([&end.port]).flat_map(|word| word.to_ne_bytes()).collect()
        };
        let ipv6 = bytes(end("[2001:db8::102:304]:40000".parse().unwrap()));
        assert_eq!(ipv6, [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0x9c, 0x40, 0, 0]);
        let ipv4 = end("203.0.113.9:54321".parse().unwrap());
        assert_eq!(bytes(ipv4)[8..], [0, 0, 0xff, 0xff, 203, 0, 113, 9, 0xd4, 0x31, 0, 0]);
        assert_eq!(end("[::ffff:203.0.113.9]:54321".parse().unwrap()), ipv4);
    }
}
