//! Reads the remembered clients by an eBPF iterator (`bpf_iter/tcp`), which also sees connections that are not accepted
//! yet. No descriptor is duplicated.

use std::{
    collections::HashMap,
    io::{self, Read as _},
    path::Path,
};

use aya::{
    Btf, BtfError, Ebpf, EbpfError, EbpfLoader, include_bytes_aligned,
    programs::{Iter, ProgramError, links::LinkError},
};
use thiserror::Error;
use toa_common::{attribution::Attribution, maps::REMEMBERED, remembered::RememberedRecord};

use super::pins::RememberPins;
use crate::live::runs::{self, RunsError, pins::PinsError};

/// The object that the build script compiled.
static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_REMEMBERED_OBJECT"));

/// The object's program.
const PROGRAM: &str = "toa_remembered";

/// Bytes to read at once: the size of the kernel's own buffer.
const READ_BYTES: usize = 32 << 10;

/// Why remembered clients cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// A pin is not what this version expects.
    #[error(transparent)]
    Pin(#[from] RunsError),
    /// The kernel has no TCP iterator, or does not describe its types.
    #[error("it has no TCP iterator (bpf_iter/tcp) or no BTF")]
    NoIterator(#[source] BtfError),
    /// The object could not be loaded.
    #[error("the kernel refused the map of the iterator")]
    Object(#[source] Box<EbpfError>),
    /// The program could not be loaded.
    #[error("the kernel refused the iterator")]
    Program(#[source] Box<ProgramError>),
    /// The object lacks the program.
    #[error("the eBPF object has no {PROGRAM}")]
    Missing,
    /// The iterator could not be opened.
    #[error("cannot open the iterator")]
    Open(#[source] LinkError),
    /// The iterator could not be read.
    #[error("cannot read the iterator")]
    Read(#[source] io::Error),
}

/// Fails if this kernel could not tell remembered clients.
pub(super) fn check() -> Result<(), ReadError> {
    load(None).map(drop)
}

/// Reads the clients of the connections in this thread's network namespace, by their cookies. Returns `None` if no
/// clients are being remembered.
pub fn read() -> Result<Option<HashMap<u64, Attribution>>, ReadError> {
    let Some(pins) = RememberPins::open_to_read()? else {
        return Ok(None);
    };
    // Checks that it is the map that the program expects.
    runs::open(pins.directory(), &REMEMBERED, None)?;
    let mut ebpf = load(Some(&pins.path(REMEMBERED.name)))?;
    drop(pins);
    let program = program(&mut ebpf)?;
    let failed = |error| ReadError::Program(Box::new(error));
    let link = program.attach().map_err(failed)?;
    let mut file = program.take_link(link).map_err(failed)?.into_file().map_err(ReadError::Open)?;
    let (mut buffer, mut filled) = (vec![0; READ_BYTES], 0);
    let mut clients = HashMap::new();
    loop {
        match file.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => return Ok(Some(clients)),
            Ok(read) => filled += read,
            // After a million sockets of which none was written, a read ends with EAGAIN. The next one goes on.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                continue;
            }
            Err(error) => return Err(ReadError::Read(error)),
        }
        let (records, _) = buffer.get(..filled).unwrap_or_default().as_chunks();
        let records = records.iter().map(RememberedRecord::decode);
        clients.extend(records.map(|record| (record.cookie, record.attribution)));
        // A read may end within a record.
        let whole = filled - filled % RememberedRecord::LEN;
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

/// Loads the iterator, with the pinned map or one of its own.
fn load(map: Option<&Path>) -> Result<Ebpf, ReadError> {
    let btf = Btf::from_sys_fs().map_err(ReadError::NoIterator)?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    if let Some(path) = map {
        loader.map_pin_path(REMEMBERED.name, path);
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| ReadError::Object(Box::new(error)))?;
    let result = program(&mut ebpf)?.load("tcp", &btf);
    result.map_err(|error| match error {
        ProgramError::Btf(error) => ReadError::NoIterator(error),
        error => ReadError::Program(Box::new(error)),
    })?;
    Ok(ebpf)
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Iter, ReadError> {
    ebpf.program_mut(PROGRAM).and_then(|program| program.try_into().ok()).ok_or(ReadError::Missing)
}
