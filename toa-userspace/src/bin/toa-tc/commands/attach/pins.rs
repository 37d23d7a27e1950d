//! Pins the maps of a run, so that other commands find it.

use anyhow::{Error, Result};
use toa_common::maps::{COUNTERS, PINNED};
use toa_userspace::live::{
    program::load::Loaded,
    runs::{map_id, pin_directories::PinDirectories, pins::Pins},
};

use crate::stderr;

/// Pins the maps and returns their IDs, or reports why other commands will not see this run.
pub(crate) fn pin(loaded: &Loaded, directories: &PinDirectories) -> Option<(Pins, [u32; PINNED.len()])> {
    let pinned = || -> Result<_> {
        let pins = Pins::new(directories, map_id(loaded.map(COUNTERS.name)?)?)?;
        let mut ids = [0; PINNED.len()];
        for (spec, id) in PINNED.iter().zip(&mut ids) {
            let map = loaded.map(spec.name)?;
            *id = map_id(map)?;
            pins.pin(spec.name, map)?;
        }
        Ok((pins, ids))
    };
    pinned().inspect_err(cannot_be_seen).ok()
}

/// Reports why other commands will not see this run.
pub(crate) fn cannot_be_seen(error: &Error) {
    stderr::warning(format_args!("watch, status and flows will not see this run: {error:#}"));
}
