//! Reports packets of tunnels, which are not read, and the devices that have the packets inside.

use std::{convert::Infallible, time::Duration};

use toa_common::counters::Counter;
use toa_userspace::{
    capture::Tunnel,
    ledger::counters::Snapshot,
    live::{
        host::tunnel_devices::{TunnelDevice, tunnel_devices},
        maps::counters::Counters,
        program::attachments::InterfaceNames,
    },
    print::count::plural,
};
use tokio::time::sleep;

use crate::stderr;

/// Poll interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// The kinds of tunnels that the kernel program counts.
const KINDS: [(Counter, Tunnel, TunnelDevice); 7] = [
    (Counter::IpInIp, Tunnel::IpInIp, TunnelDevice::IpInIp),
    (Counter::Gre, Tunnel::Gre, TunnelDevice::Gre),
    (Counter::Vxlan, Tunnel::Vxlan, TunnelDevice::Vxlan),
    (Counter::Geneve, Tunnel::Geneve, TunnelDevice::Geneve),
    (Counter::Mpls, Tunnel::Mpls, TunnelDevice::None),
    (Counter::Pppoe, Tunnel::Pppoe, TunnelDevice::Ppp),
    (Counter::Vlan, Tunnel::Vlan, TunnelDevice::Vlan),
];

/// Reports each kind of tunnel once, when its first packets were seen.
pub(crate) async fn report_tunnels(counters: &Counters, names: &InterfaceNames) -> Infallible {
    let mut left = KINDS.to_vec();
    loop {
        sleep(INTERVAL).await;
        // Counters that cannot be read now cannot be read at the end either, where that is an error.
        let Ok(snapshot) = counters.read() else { continue };
        left.retain(|(counter, tunnel, device)| {
            let is_unseen = snapshot.get(*counter) == 0;
            if !is_unseen {
                let names = names.attached();
                let interfaces: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
                let devices = tunnel_devices(*device);
                let devices: Vec<_> = devices
                    .iter()
                    .map(String::as_str)
                    .filter(|device| !interfaces.contains(device))
                    .collect();
                stderr::note(format_args!(
                    "packets of tunnels ({tunnel}) arrive on {}, and what is inside is not read: {}",
                    interfaces.join(", "),
                    advice(&devices)
                ));
            }
            is_unseen
        });
    }
}

fn advice(devices: &[&str]) -> String {
    match devices {
        [] => "attach to the tunnel's device, or use toa-tc read on a capture".to_owned(),
        devices => format!("attach to {}", devices.join(" or ")),
    }
}

/// Returns the lines that say how many packets of tunnels were not read.
pub(crate) fn counted(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    KINDS.into_iter().filter_map(|(counter, tunnel, _)| {
        let count = snapshot.get(counter);
        (count > 0).then(|| format!("{} of tunnels ({tunnel}) not read", plural(count, "packet")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_if_there_are_any() {
        assert_eq!(advice(&["gre1", "gre2"]), "attach to gre1 or gre2");
        assert!(advice(&[]).starts_with("attach to the tunnel's device"));
    }
}
