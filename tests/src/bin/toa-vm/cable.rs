//! Raw frames on a veth pair, as the shipped program and the tool see them.

use anyhow::{Result, ensure};
use toa_packets::{
    builder::{PacketBuilder, SERVICE_VLAN, VLAN},
    fixtures::{headers::client, opening},
};
use toa_tests::{
    lab::{
        injector::Injector,
        netns::Namespace,
        veth::{self, Device},
    },
    process::Signal,
    tool::{
        attached::{self, PROGRAM},
        recorder::Recorder,
        toa_tc::ToaTc,
    },
    wait,
};

/// Creates a cable, and returns the balancer's and the server's end.
pub(crate) fn cable() -> Result<(Device, Device)> {
    veth::pair((&Namespace::new()?, "lb0"), (&Namespace::new()?, "web0"), 1500)
}

/// Sends a connection that opens and requests `target`.
pub(crate) fn inject(device: &Device, packet: &PacketBuilder, target: &str) -> Result<()> {
    let injector = Injector::new(device)?;
    opening::frames(packet, target).iter().try_for_each(|frame| injector.send(frame))
}

/// Attaches the tool, lets it follow a connection, and checks what it leaves behind. Returns how it was
/// attached.
pub(crate) fn tool() -> Result<String> {
    let (balancer, server) = cable()?;
    let tool = ToaTc::attach(&server, &["--ip", &client().ip().to_string()])?;
    let mode = wait::until("the line of the attachment", || {
        let said = tool.stderr()?;
        let mode = said.lines().find_map(|line| line.split_once("attached to web0 (")?.1.split_once(')'));
        Ok(mode.map(|(mode, _)| mode.to_owned()))
    })?;
    let filters = attached::filters_on(&server)?;
    ensure!(mode != "netlink" || filters.contains(PROGRAM), "no filter: {filters}");
    inject(&balancer, &PacketBuilder::ipv4(), "/tool")?;
    wait::until("the request", || Ok(tool.stdout()?.contains("/tool").then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let requests = output.requests()?;
    ensure!(requests.len() == 1 && requests.iter().all(|it| it.client == client()), "{}", output.stdout);
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!(ledger.packets("matched")? == 1, "{}", output.stderr);

    let filters = attached::filters_on(&server)?;
    ensure!(filters.is_empty(), "a filter is left: {filters}");
    // The kernel's default qdisc, and clsact on kernels that need it for filters.
    let qdiscs = server.namespace.output("tc", &["qdisc", "show", "dev", &server.name])?;
    let is_known = |line: &str| line.starts_with("qdisc noqueue") || line.starts_with("qdisc clsact");
    ensure!(qdiscs.lines().all(is_known), "{qdiscs}");
    ensure!(qdiscs.contains("clsact") == (mode == "netlink"), "{qdiscs}");
    Ok(mode)
}

/// Checks what records say of frames with VLAN tags.
pub(crate) fn tags() -> Result<()> {
    let (balancer, server) = cable()?;
    let mut recorder = Recorder::attach(&server)?;
    let customer = |packet: PacketBuilder, tag| packet.vlan(VLAN, tag);
    let cases = [
        (PacketBuilder::ipv4(), 0, 14),
        (customer(PacketBuilder::ipv4(), 0xb00f), 0xb00f, 14),
        (customer(PacketBuilder::ipv6().vlan(SERVICE_VLAN, 3), 7), 3, 18),
    ];
    for (port, (packet, tag, network_offset)) in (50_000..).zip(cases) {
        inject(&balancer, &packet.source_port(port), "/tags")?;
        expect(&mut recorder, tag, network_offset)?;
    }
    Ok(())
}

/// Waits for the record of a connection: its SYN has none.
fn expect(recorder: &mut Recorder, tag: u16, network_offset: u8) -> Result<()> {
    let records = recorder.records(1)?;
    ensure!(records.len() == 1, "{} records", records.len());
    for (record, _) in records {
        let found = (record.vlan_tci, record.network_offset);
        ensure!(found == (tag, network_offset), "{record:?}");
    }
    Ok(())
}

/// Sends a connection over 802.1Q devices and checks the records on the server's VLAN device and on the
/// device below it.
pub(crate) fn vlan_device() -> Result<()> {
    let (balancer, server) = cable()?;
    let tagged = |device: &Device| -> Result<Device> {
        let name = format!("{}.7", device.name);
        let add = ["link", "add", "link", &device.name, "name", &name, "type", "vlan", "id", "7"];
        device.namespace.ip(&add)?;
        device.namespace.ip(&["link", "set", &name, "up"])?;
        Ok(Device { namespace: device.namespace.clone(), name })
    };
    let (from, to) = (tagged(&balancer)?, tagged(&server)?);
    let (mut below, mut on) = (Recorder::attach(&server)?, Recorder::attach(&to)?);
    for packet in [PacketBuilder::ipv4(), PacketBuilder::ipv6()] {
        inject(&from, &packet, "/vlan")?;
        // The device below sees the tag; the VLAN device removes it.
        expect(&mut below, 7, 14)?;
        expect(&mut on, 0, 14)?;
    }
    Ok(())
}
