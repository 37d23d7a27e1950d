//! An interface of a run, and the programs and filters there.

use std::fmt;

use serde::Serialize;
use toa_common::run_info::{RunInterface, mode};
use toa_userspace::live::{
    host::interfaces,
    program::chain::{self, Stage},
};

#[derive(Serialize)]
pub(super) struct Interface {
    name: String,
    index: u32,
    mode: &'static str,
    /// The position in the chain, from 1, if the chain can be seen from here.
    position: Option<usize>,
    /// All programs of the chain, and filters if ours is one, in their order, if the chain can be seen from here.
    chain: Option<Vec<ChainProgram>>,
}

#[derive(Serialize)]
struct ChainProgram {
    /// The kernel's ID of the program, if it is one: a filter may be something else.
    id: Option<u32>,
    name: String,
}

impl Interface {
    /// Looks at an interface of our own network namespace, if it still exists.
    pub(super) fn look(interface: &RunInterface, ours: &[u32]) -> Option<Self> {
        let name = interfaces::interface_name(interface.index)?;
        Some(Self::new(interface, name, chain::stages(interface.index).ok(), ours))
    }

    pub(super) fn new(
        interface: &RunInterface,
        name: String,
        stages: Option<Vec<Stage>>,
        ours: &[u32],
    ) -> Self {
        let is_tcx = interface.mode == mode::TCX;
        let mut chain = stages.unwrap_or_default();
        // Filters run after all programs that are attached by TCX.
        chain.retain(|stage| !is_tcx || matches!(stage, Stage::Program(_)));
        let is_ours = |stage: &Stage| {
            is_tcx == matches!(stage, Stage::Program(_))
                && stage.program().is_some_and(|id| ours.contains(&id))
        };
        let position = chain.iter().position(is_ours).map(|position| position + 1);
        let chain = chain.iter().map(|stage| ChainProgram { id: stage.program(), name: stage.name() });
        Self {
            name,
            index: interface.index,
            mode: if is_tcx { "tcx" } else { "netlink" },
            position,
            chain: position.map(|_| chain.collect()),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mode, index, .. } = self;
        write!(f, "{name} (index {index}, {mode}")?;
        if let (Some(position), Some(chain)) = (self.position, &self.chain) {
            write!(f, ", {position} of {} in the chain", chain.len())?;
            let others: Vec<_> = chain
                .iter()
                .enumerate()
                .filter(|(at, _)| at + 1 != position)
                .map(|(at, it)| format!("{} {}", if at + 1 < position { "after" } else { "before" }, it.name))
                .collect();
            if !others.is_empty() {
                write!(f, ": {}", others.join(", "))?;
            }
        } else {
            f.write_str(", its place in the chain cannot be seen from here")?;
        }
        f.write_str(")")
    }
}
