//! Probes that do nothing.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, include_bytes_aligned,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeScope},
    },
};
use toa_userspace::live::tls::library::{self, Role};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_BENCH_OBJECT"));

/// Where the probes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// At the beginning of `SSL_read`.
    Function,
    /// Where the tool has its own.
    OfTool,
    /// The same, without one at the return.
    OfToolAtEntry,
}

impl Place {
    /// Returns the programs, at entry and return.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Function | Self::OfTool => &["toa_bench_entry", "toa_bench_return"],
            Self::OfToolAtEntry => &["toa_bench_entry"],
        }
    }
}

/// Probes at the function by which a process reads plaintext, until they are dropped.
pub(crate) struct EmptyProbes(Ebpf);

impl EmptyProbes {
    /// Attaches them to the TLS library of a process.
    pub(crate) fn attach(process: u32, place: Place) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let mut files = maps.lines().filter_map(|line| line.split_whitespace().last());
        let library = files.find(|file| file.contains("/libssl")).context("no libssl")?;
        let offset = match place {
            Place::Function => None,
            Place::OfTool | Place::OfToolAtEntry => {
                let functions = library::functions(Path::new(library))?;
                let mut reading =
                    functions.iter().filter(|it| matches!(it.role, Role::Reads | Role::ReadsEx));
                Some(reading.next_back().context("no SSL_read")?.offset)
            }
        };
        let mut object = Ebpf::load(OBJECT)?;
        for name in place.programs() {
            let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut UProbe = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            let location =
                offset.map_or(UProbeAttachLocation::Symbol("SSL_read"), UProbeAttachLocation::AbsoluteOffset);
            program.attach(location, library, UProbeScope::AllProcesses)?;
        }
        Ok(Self(object))
    }

    /// Detaches them.
    pub(crate) fn detach(self) {
        drop(self.0);
    }
}
