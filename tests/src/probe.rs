//! Responsible for running the kernel's classification on single packets, and for its answers. Not responsible
//! for what they should be.

use std::collections::HashSet;

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions, include_bytes_aligned,
    maps::{
        Array, HashMap, Map, MapData, PerCpuArray,
        lpm_trie::{Key, LpmTrie},
    },
    programs::SchedClassifier,
};
use toa_common::{
    address::Address,
    config::Config,
    counters::{Counter, CounterValues},
    flow::Flow,
    flow_key::FlowKey,
    rule::{RuleKey, shape},
};

use crate::host::{Choice, Watch, address_of, prefix_key};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_PROBE_OBJECT"));

/// Whether the kernel takes a frame for a test run: not without the whole IP header that its type announces
/// (Linux 6.18, `bpf_prog_test_run_skb`).
#[must_use]
pub fn takes(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.len() >= 14 + 20,
        Some([0x86, 0xdd]) => frame.len() >= 14 + 40,
        kind => kind.is_some(),
    }
}

/// The loaded test object.
pub struct Probe {
    object: Ebpf,
    shapes: Array<MapData, u32>,
    watch: HashMap<MapData, RuleKey, u32>,
    flows: HashMap<MapData, FlowKey, Flow>,
    untrusted: HashMap<MapData, Address, u32>,
}

impl Probe {
    /// Loads it with what the tool chooses by default. It watches nobody.
    pub fn load() -> Result<Self> {
        Self::load_with(&Choice::new(Config::DEFAULT))
    }

    /// Loads it with another choice.
    pub fn load_with(choice: &Choice) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .override_global("CONFIG", &choice.config, true)
            .load(OBJECT)
            .context("loading the test object")?;
        let mut map = |name: &str| object.take_map(name).with_context(|| format!("no map {name}"));
        let mut balancers: LpmTrie<MapData, Address, u32> = map("BALANCERS")?.try_into()?;
        for prefix in &choice.balancers {
            let (bits, address) = prefix_key(*prefix);
            balancers.insert(&Key::new(bits, address), 0, 0)?;
        }
        let (shapes, watch) = (map("SHAPES")?.try_into()?, map("WATCH")?.try_into()?);
        let (flows, untrusted) = (map("FLOWS")?.try_into()?, map("UNTRUSTED")?.try_into()?);
        let mut probe = Self { object, shapes, watch, flows, untrusted };
        probe.program()?.load().context("loading the probe")?;
        Ok(probe)
    }

    fn program(&mut self) -> Result<&mut SchedClassifier> {
        Ok(self.object.program_mut("toa_probe_eth").context("no program toa_probe_eth")?.try_into()?)
    }

    /// Another of its maps.
    pub fn map(&self, name: &str) -> Result<&Map> {
        self.object.map(name).with_context(|| format!("no map {name}"))
    }

    /// Forgets all connections and watches whom it is told.
    pub fn restart(&mut self, watch: Watch) -> Result<()> {
        for key in self.flows.keys().collect::<Result<Vec<_>, _>>()? {
            self.flows.remove(&key)?;
        }
        for key in self.watch.keys().collect::<Result<Vec<_>, _>>()? {
            self.watch.remove(&key)?;
        }
        for key in self.untrusted.keys().collect::<Result<Vec<_>, _>>()? {
            self.untrusted.remove(&key)?;
        }
        let shapes = match watch {
            Watch::Nobody => 0,
            Watch::Any => shape::ANY,
            Watch::Address(address) => {
                self.watch.insert(RuleKey::address(address_of(address)), 0, 0)?;
                shape::ADDRESS
            }
        };
        Ok(self.shapes.set(0, shapes, 0)?)
    }

    /// What it has counted, over all CPUs, since it was loaded.
    pub fn count(&self, counter: Counter) -> Result<u64> {
        let counters: PerCpuArray<_, CounterValues> = self.map("COUNTERS")?.try_into()?;
        let counters = counters.get(&0, 0)?;
        Ok(counters.iter().filter_map(|values| values.get(counter as usize)).sum())
    }

    /// What is kept of a connection.
    pub fn flow(&self, key: &FlowKey) -> Result<Option<Flow>> {
        match self.flows.get(key, 0) {
            Ok(flow) => Ok(Some(flow)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sources of which a TOA was not believed.
    pub fn untrusted(&self) -> Result<HashSet<Address>> {
        Ok(self.untrusted.keys().collect::<Result<_, _>>()?)
    }

    /// The digest of what the kernel finds in a frame that it [`takes`] and decides on it.
    pub fn run(&mut self, frame: &[u8]) -> Result<u32> {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        Ok(self.program()?.test_run(options)?.return_value)
    }
}
