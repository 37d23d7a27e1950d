//! Opens the rings. If they are too large for the user, finds a size that is not.

use std::io;

use anyhow::{Context as _, Error, Result, bail};
use aya::maps::{Map, MapData};
use log::debug;
use rustix::param::page_size;
use toa_userspace::live::{
    program::load::Loaded,
    rings::{PerfError, Rings, cpus::Cpus, default_ring_bytes, opener::Opener, possible_cpus},
};

use crate::stderr;

/// Opens rings of `bytes` each, or of the default size.
///
/// Also returns what opens the rings of CPUs that come online later by `opener`, or reports why there is none.
pub(crate) fn open_rings(
    loaded: &Loaded,
    bytes: Option<usize>,
    opener: io::Result<Opener>,
) -> Result<(Rings, Option<Cpus>)> {
    let Map::PerfEventArray(map) = loaded.map("EVENTS")? else {
        bail!("EVENTS is not a perf event array");
    };
    let cpus = possible_cpus(map)?;
    let bytes = bytes.map_or_else(|| usize::try_from(cpus).map(default_ring_bytes), Ok)?;
    match Rings::open(map, bytes) {
        Ok(rings) => {
            debug!("{} rings of {bytes} bytes, for {cpus} possible CPUs", rings.count());
            let later = opener.and_then(|opener| Cpus::new(opener, map, bytes, &rings));
            let report = |error: &io::Error| {
                stderr::warning(format_args!("packets of CPUs that come online later will be lost: {error}"));
            };
            Ok((rings, later.inspect_err(report).ok()))
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
