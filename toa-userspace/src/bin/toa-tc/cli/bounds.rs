//! The options that limit memory, for every source of packets.

use clap::Args;
use toa_common::limits::MAX_FLOWS;
use toa_userspace::limits::Limits;

use super::number::{number, size};

/// Largest value of `--max-flows`: a gigabyte of kernel memory.
const MOST_FLOWS: u32 = 1 << 22;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct BoundArgs {
    /// Follow at most this many connections at a time
    #[arg(long = "max-flows", value_name = "N", default_value_t = MAX_FLOWS, value_parser = flows, hide_short_help = true)]
    pub(crate) flows: u32,

    /// Skip request heads longer than this, such as 64K, where a K is 1024 bytes
    #[arg(long = "max-head", value_name = "SIZE", default_value = "64K", value_parser = head, hide_short_help = true)]
    head: u64,

    /// Keep at most this much out-of-order and incomplete data, such as 128M, over all connections
    #[arg(long = "max-memory", value_name = "SIZE", default_value = "128M", value_parser = memory, hide_short_help = true)]
    memory: u64,
}

fn flows(text: &str) -> Result<u32, String> {
    // Within the range, it fits.
    number(text, 1..=MOST_FLOWS.into()).map(|number| u32::try_from(number).unwrap_or(MOST_FLOWS))
}

fn head(text: &str) -> Result<u64, String> {
    size(text, 256..=1 << 24)
}

fn memory(text: &str) -> Result<u64, String> {
    size(text, 1 << 20..=1 << 40)
}

impl BoundArgs {
    /// Returns the limits of the pipeline.
    pub(crate) fn limits(&self) -> Limits {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.connections = bytes(self.flows.into());
        limits.ended_connections = limits.connections;
        limits.head_bytes = bytes(self.head);
        limits.total_bytes = bytes(self.memory);
        limits.connection_bytes = limits.connection_bytes.min(limits.total_bytes);
        limits
    }
}
