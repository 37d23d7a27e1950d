//! Packets of tunnels are named when they arrive, and counted at the end.
#![cfg(feature = "kernel")]

use anyhow::Result;
use toa_packets::builder::PacketBuilder;
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::ToaTc,
    wait,
};

const UDP: u8 = 17;

#[test]
fn packets_of_tunnels_are_named_when_they_arrive_and_counted_at_the_end() -> Result<()> {
    let mut lab = Lab::new(Habit::Syn)?;
    let _nginx = lab.nginx()?;
    let injector = Injector::new(&lab.balancer)?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let udp = |port| PacketBuilder::ipv4().protocol(UDP).destination_port(port);
    let tunnels = [
        ("IP in IP", PacketBuilder::ipv4().protocol(4)),
        ("GRE", PacketBuilder::ipv6().protocol(47)),
        ("VXLAN", udp(4789)),
        ("Geneve", udp(6081)),
        ("MPLS", PacketBuilder::ipv4().ether_type(0x8847)),
        ("PPPoE", PacketBuilder::ipv4().ether_type(0x8864)),
    ];
    for (number, (_, packet)) in tunnels.iter().enumerate() {
        for _ in 0..=number {
            injector.send(&packet.clone().payload(&[0; 64]).build())?;
        }
    }
    let mut connection = lab.connect(Some("203.0.113.9:54321".parse()?))?;
    connection.ask(Request::get("/"))?;
    let arrived =
        |name: &str| format!("packets of tunnels ({name}) arrive on web0, and what is inside is not read: ");
    for (name, _) in &tunnels {
        wait::until(name, || Ok(tool.stderr()?.contains(&arrived(name)).then_some(())))?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
    for (number, (name, _)) in tunnels.iter().enumerate() {
        let packets = if number == 0 { "packet" } else { "packets" };
        let line = format!("toa-tc: {} {packets} of tunnels ({name}) not read\n", number + 1);
        assert!(output.stderr.contains(&line), "{line}{}", output.stderr);
        assert_eq!(output.stderr.matches(&arrived(name)).count(), 1, "{}", output.stderr);
    }
    Ok(())
}
