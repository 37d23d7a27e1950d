//! Runs the kernel's classification on single packets with `BPF_PROG_TEST_RUN`.

use std::collections::HashSet;

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions, include_bytes_aligned,
    maps::{HashMap, Map, MapData, MapError},
    programs::SchedClassifier,
};
use toa_common::{address::Address, counters::Counter, flow::Flow, flow_key::FlowKey, handshake::Handshake};
use toa_packets::selection;
use toa_userspace::{
    capture::classifier::Selection,
    ledger::counters::Snapshot,
    live::maps::{balancers::BalancersMap, counters::Counters, watch::Watch},
    rule::Rule,
};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_PROBE_OBJECT"));

/// Returns whether the kernel accepts a frame for a test run. It refuses one without the complete IP header
/// that its `EtherType` announces (Linux 6.18, `bpf_prog_test_run_skb`).
pub fn takes(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.len() >= 14 + 20,
        Some([0x86, 0xdd]) => frame.len() >= 14 + 40,
        kind => kind.is_some(),
    }
}

/// The loaded probe object.
pub struct Probe {
    object: Ebpf,
    watch: Watch,
    counters: Counters,
    flows: HashMap<MapData, FlowKey, Flow>,
    handshakes: HashMap<MapData, FlowKey, [u8; size_of::<Handshake>()]>,
    untrusted: HashMap<MapData, Address, u32>,
}

impl Probe {
    /// Loads it with the tool's default selection. It watches no client.
    pub fn load() -> Result<Self> {
        Self::load_with(&selection::usual())
    }

    /// Loads it with another selection, but without that selection's rules.
    pub fn load_with(selection: &Selection) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .override_global("CONFIG", &selection.config, true)
            .load(OBJECT)
            .context("loading the test object")?;
        program_of(&mut object)?.load().context("loading the probe")?;
        let mut map = |name: &str| object.take_map(name).with_context(|| format!("no map {name}"));
        BalancersMap::new(map("BALANCERS")?)?.add(&selection.balancers)?;
        let watch = Watch::new(map("WATCH")?, map("PREFIXES")?, map("SHAPES")?)?;
        let counters = Counters::new(map("COUNTERS")?)?;
        let (flows, untrusted) = (map("FLOWS")?.try_into()?, map("UNTRUSTED")?.try_into()?);
        let handshakes = map("HANDSHAKES")?.try_into()?;
        Ok(Self { object, watch, counters, flows, handshakes, untrusted })
    }

    /// Returns another of its maps.
    pub fn map(&self, name: &str) -> Result<&Map> {
        self.object.map(name).with_context(|| format!("no map {name}"))
    }

    /// Forgets all connections and watches `rules`.
    pub fn restart(&mut self, rules: &[Rule]) -> Result<()> {
        for key in self.flows.keys().collect::<Result<Vec<_>, _>>()? {
            self.flows.remove(&key)?;
        }
        for key in self.handshakes.keys().collect::<Result<Vec<_>, _>>()? {
            self.handshakes.remove(&key)?;
        }
        for key in self.untrusted.keys().collect::<Result<Vec<_>, _>>()? {
            self.untrusted.remove(&key)?;
        }
        self.watch.clear()?;
        self.watch.add(rules)?;
        Ok(())
    }

    /// Returns its counters, summed over all CPUs, since it was loaded.
    pub fn counters(&self) -> Result<Snapshot> {
        Ok(self.counters.read()?)
    }

    /// Returns one of its counters.
    pub fn count(&self, counter: Counter) -> Result<u64> {
        Ok(self.counters()?.get(counter))
    }

    /// Returns what is kept of a connection.
    pub fn flow(&self, key: &FlowKey) -> Result<Option<Flow>> {
        match self.flows.get(key, 0) {
            Ok(flow) => Ok(Some(flow)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the sources whose TOA was not trusted.
    pub fn untrusted(&self) -> Result<HashSet<Address>> {
        Ok(self.untrusted.keys().collect::<Result<_, _>>()?)
    }

    /// Runs the program on a frame that it [`takes`], addressed to this host. Returns the digest of what it finds and
    /// decides.
    pub fn run(&mut self, frame: &[u8]) -> Result<u32> {
        let mut frame = frame.to_vec();
        // A test run takes place on the loopback device, which has this address.
        frame.get_mut(..6).context("no Ethernet header")?.fill(0);
        self.run_as_addressed(&frame)
    }

    /// Does the same without changing the address. To another host than this, it is a stray of the switch.
    pub fn run_as_addressed(&mut self, frame: &[u8]) -> Result<u32> {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        Ok(program_of(&mut self.object)?.test_run(options)?.return_value)
    }
}

fn program_of(object: &mut Ebpf) -> Result<&mut SchedClassifier> {
    Ok(object.program_mut("toa_probe_eth").context("no program toa_probe_eth")?.try_into()?)
}
