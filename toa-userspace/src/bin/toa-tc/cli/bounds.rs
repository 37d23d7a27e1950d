//! The options that limit memory, for every source of packets.

use clap::Args;
use toa_common::limits::MAX_FLOWS;
use toa_userspace::limits::Limits;

/// Largest value of `--max-flows`: a gigabyte of kernel memory.
const MOST_FLOWS: u32 = 1 << 22;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct BoundArgs {
    /// Follow at most this many connections at a time
    #[arg(long = "max-flows", value_name = "N", default_value_t = MAX_FLOWS, value_parser = clap::value_parser!(u32).range(1..=MOST_FLOWS.into()))]
    pub(crate) flows: u32,

    /// Skip request heads longer than this
    #[arg(long = "max-head", value_name = "BYTES", default_value_t = 64 << 10, value_parser = clap::value_parser!(u32).range(256..=1 << 24))]
    head: u32,

    /// Keep at most this much out-of-order and incomplete data, over all connections
    #[arg(long = "max-memory", value_name = "BYTES", default_value_t = 128 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 40))]
    memory: u64,
}

impl BoundArgs {
    /// Returns the limits of the pipeline.
    pub(crate) fn limits(&self) -> Limits {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.connections = size(self.flows.into());
        limits.ended_connections = limits.connections;
        limits.head_bytes = size(self.head.into());
        limits.total_bytes = size(self.memory);
        limits.connection_bytes = limits.connection_bytes.min(limits.total_bytes);
        limits
    }
}
