//! Remembers the clients of new connections in their sockets, for later commands: `toa-tc remember` and `forget`.
//!
//! The program and its maps are pinned, so no process has to run. [`reader`] reads the clients.

use std::fs::File;

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned,
    maps::{Array, MapError},
    pin::PinError,
    programs::{
        CgroupAttachMode, ProgramError, SockOps,
        links::{FdLink, LinkError},
    },
};
use thiserror::Error;
use toa_common::{
    config::Config,
    maps::{REMEMBER_COUNTS, REMEMBERED},
    remembered::RememberCounts,
};

use crate::live::{
    program::load::{LoadError, refused},
    runs::{self, RunsError, pins::PinsError},
};

pub mod pins;
pub mod reader;

use pins::{LINK, RememberPins};
use reader::ReadError;

/// The object that the build script compiled.
static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_REMEMBER_OBJECT"));

/// The object's program.
const PROGRAM: &str = "toa_remember";

/// Why clients cannot be remembered or forgotten.
#[derive(Debug, Error)]
pub enum RememberError {
    /// They already are.
    #[error("clients are already being remembered (toa-tc forget ends that)")]
    Already,
    /// This kernel could not read them.
    #[error("this kernel could not tell the remembered clients")]
    Unreadable(#[source] ReadError),
    /// The pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The program or its maps could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The program could not be attached.
    #[error("cannot attach to the cgroup")]
    Attach(#[source] ProgramError),
    /// The attachment cannot be kept.
    #[error("cannot keep the program attached")]
    Link(#[source] LinkError),
    /// The program could not be pinned.
    #[error("cannot pin the program")]
    Pin(#[source] PinError),
    /// What was counted cannot be read.
    #[error(transparent)]
    Counts(#[from] RunsError),
    /// A counter cannot be read.
    #[error("cannot read the map {}", REMEMBER_COUNTS.name)]
    Read(#[source] MapError),
}

/// Begins to remember the clients of the connections that sockets of `cgroup` accept. `config` says which options are
/// TOA.
pub fn remember(cgroup: &File, config: &Config) -> Result<(), RememberError> {
    reader::check().map_err(RememberError::Unreadable)?;
    let Some(pins) = RememberPins::create()? else {
        return Err(RememberError::Already);
    };
    let attached = attach(cgroup, config, &pins);
    if attached.is_err() {
        pins.remove();
    }
    attached
}

/// Loads the program, attaches it, and pins everything. The program's pin comes last, so that what is found is complete.
fn attach(cgroup: &File, config: &Config, pins: &RememberPins) -> Result<(), RememberError> {
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::STATS)
        .override_global("CONFIG", config, true)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    for spec in [&REMEMBERED, &REMEMBER_COUNTS] {
        let map = ebpf.map(spec.name).ok_or(LoadError::Missing { name: spec.name })?;
        pins.pin(spec.name, map)?;
    }
    let program = program(&mut ebpf)?;
    program.load().map_err(|error| match error {
        ProgramError::LoadError { verifier_log, .. } => refused(PROGRAM, &verifier_log.to_string()),
        source => LoadError::Program { program: PROGRAM, source },
    })?;
    // It is attached as a link, and links run beside other programs whatever the mode. The kernel takes no other.
    let link = program.attach(cgroup, CgroupAttachMode::Single).map_err(RememberError::Attach)?;
    let link = program.take_link(link).map_err(RememberError::Attach)?;
    let link: FdLink = link.try_into().map_err(RememberError::Link)?;
    link.pin(pins.path(LINK)).map_err(RememberError::Pin)?;
    Ok(())
}

fn program(ebpf: &mut Ebpf) -> Result<&mut SockOps, LoadError> {
    let missing = LoadError::Missing { name: PROGRAM };
    ebpf.program_mut(PROGRAM).and_then(|program| program.try_into().ok()).ok_or(missing)
}

/// Returns what was counted so far, or `None` if no clients are being remembered.
pub fn status() -> Result<Option<RememberCounts>, RememberError> {
    RememberPins::open_to_read()?.as_ref().map(counts).transpose()
}

/// Forgets all clients and remembers no more. Returns what was counted, or `None` if no clients were remembered.
pub fn forget() -> Result<Option<RememberCounts>, RememberError> {
    let Some(pins) = RememberPins::open_to_remove()? else {
        return Ok(None);
    };
    let counts = counts(&pins);
    pins.remove();
    counts.map(Some)
}

/// Reads what was counted. Nothing was, if the program was not attached.
fn counts(pins: &RememberPins) -> Result<RememberCounts, RememberError> {
    if !pins.is_complete() {
        return Ok(RememberCounts::default());
    }
    let map = runs::open(pins.directory(), &REMEMBER_COUNTS, None)?;
    let counts = Array::try_from(map).map_err(RememberError::Read)?;
    counts.get(&0, 0).map_err(RememberError::Read)
}
