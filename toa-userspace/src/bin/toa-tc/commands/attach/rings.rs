//! Opens the rings. If they are too large for the user, finds a size that is not.

use anyhow::{Context as _, Error, Result, bail};
use aya::maps::{Map, MapData};
use log::debug;
use rustix::param::page_size;
use toa_userspace::live::{
    program::load::Loaded,
    rings::{PerfError, Rings, default_ring_bytes, possible_cpus},
};

/// Opens rings of `bytes` each, or of the default size.
pub(crate) fn open_rings(loaded: &Loaded, bytes: Option<usize>) -> Result<Rings> {
    let Map::PerfEventArray(map) = loaded.map("EVENTS")? else {
        bail!("EVENTS is not a perf event array");
    };
    let cpus = possible_cpus(map)?;
    let bytes = bytes.map_or_else(|| usize::try_from(cpus).map(default_ring_bytes), Ok)?;
    match Rings::open(map, bytes) {
        Ok(rings) => {
            debug!("{} rings of {bytes} bytes, for {cpus} possible CPUs", rings.count());
            Ok(rings)
        }
        Err(error) if is_limit(&error) => {
            let remedy = match largest(map, bytes) {
                Some(fitting) => format!("try --ring-size {fitting}"),
                None => "not even the smallest fit".to_owned(),
            };
            Err(Error::new(error)).with_context(|| {
                format!("rings of {bytes} bytes are too large for a user without CAP_IPC_LOCK: {remedy}")
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the user may not lock that much memory (`perf_mmap` of `kernel/events/core.c`).
fn is_limit(error: &PerfError) -> bool {
    matches!(error, PerfError::Ring { call: "mmap", source, .. } if source.raw_os_error() == Some(libc::EPERM))
}

/// Returns the largest size below `bytes` with which all rings can be opened, by trying.
fn largest(map: &MapData, bytes: usize) -> Option<usize> {
    let smaller = std::iter::successors(Some(bytes / 2), |bytes| Some(bytes / 2));
    smaller.take_while(|bytes| *bytes >= page_size()).find(|bytes| Rings::open(map, *bytes).is_ok())
}
