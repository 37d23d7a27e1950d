//! Probes that do nothing.

use std::fs;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, include_bytes_aligned,
    programs::{UProbe, uprobe::UProbeScope},
};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_BENCH_OBJECT"));

/// Where the probes are.
const FUNCTION: &str = "SSL_read";
/// The programs at its entry and return.
const PROGRAMS: [&str; 2] = ["toa_bench_entry", "toa_bench_return"];

/// Probes at the function by which a process reads plaintext, until they are dropped.
pub(crate) struct EmptyProbes(Ebpf);

impl EmptyProbes {
    /// Attaches them to the TLS library of a process.
    pub(crate) fn attach(process: u32) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let mut files = maps.lines().filter_map(|line| line.split_whitespace().last());
        let library = files.find(|file| file.contains("/libssl")).context("no libssl")?;
        let mut object = Ebpf::load(OBJECT)?;
        for name in PROGRAMS {
            let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut UProbe = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            program.attach(FUNCTION, library, UProbeScope::AllProcesses)?;
        }
        Ok(Self(object))
    }

    /// Detaches them.
    pub(crate) fn detach(self) {
        drop(self.0);
    }
}
