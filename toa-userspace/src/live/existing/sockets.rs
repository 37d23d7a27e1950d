//! The established TCP sockets as the kernel's own memory has them, read by an eBPF iterator (`bpf_iter/tcp`, Linux
//! 5.9). It also sees connections that are not accepted yet, and duplicates no descriptor.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
};

use aya::{
    Btf, BtfError as AyaBtfError, Ebpf, EbpfError, EbpfLoader, Endianness, include_bytes_aligned,
    programs::{Iter, Program, ProgramError, links::LinkError},
};
use thiserror::Error;
use toa_common::socket::{SocketLayout, SocketRecord};

use crate::live::host::{
    btf::{self, BtfError, Structs},
    privileges,
};

/// The object that the build script compiled.
static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_SOCKETS_OBJECT"));

/// The object's program.
const PROGRAM: &str = "toa_sockets";

/// Bytes to read at once: the size of the kernel's own buffer.
const READ_BYTES: usize = 32 << 10;

/// Why sockets cannot be read from the kernel's memory.
#[derive(Debug, Error)]
pub enum SocketsError {
    /// Capabilities are missing.
    #[error("needs CAP_BPF and CAP_PERFMON")]
    Capabilities,
    /// The kernel does not describe its types.
    #[error("no BTF at {path}", path = btf::PATH)]
    NoBtf(#[source] io::Error),
    /// A field is not where it is expected.
    #[error(transparent)]
    Layout(#[from] BtfError),
    /// The kernel has no TCP iterator, or its description cannot be read.
    #[error("this kernel has no TCP iterator (bpf_iter/tcp)")]
    NoIterator(#[source] AyaBtfError),
    /// The object could not be loaded.
    #[error("the kernel refused the map of the socket iterator")]
    Object(#[source] Box<EbpfError>),
    /// The program could not be loaded.
    #[error("the kernel refused the socket iterator")]
    Program(#[source] Box<ProgramError>),
    /// The object lacks the program.
    #[error("the eBPF object has no {PROGRAM}")]
    Missing,
    /// The iterator could not be opened.
    #[error("cannot open the socket iterator")]
    Open(#[source] LinkError),
    /// The iterator could not be read.
    #[error("cannot read the socket iterator")]
    Read(#[source] io::Error),
}

/// The loaded iterator.
pub struct Sockets {
    ebpf: Ebpf,
}

impl Sockets {
    /// Loads the iterator for this kernel.
    pub fn new() -> Result<Self, SocketsError> {
        // Without them, the errors of loading would name other causes.
        if !privileges::may_read_kernel() {
            return Err(SocketsError::Capabilities);
        }
        let bytes = fs::read(btf::PATH).map_err(SocketsError::NoBtf)?;
        let layout = layout(&Structs::parse(&bytes)?)?;
        let btf = Btf::parse(&bytes, Endianness::default()).map_err(SocketsError::NoIterator)?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("LAYOUT", &layout, true)
            .load(OBJECT)
            .map_err(|error| SocketsError::Object(Box::new(error)))?;
        let loaded = program(&mut ebpf)?.load("tcp", &btf);
        loaded.map_err(|error| match error {
            ProgramError::Btf(error) => SocketsError::NoIterator(error),
            error => SocketsError::Program(Box::new(error)),
        })?;
        Ok(Self { ebpf })
    }

    /// Reads the established sockets of this thread's network namespace, by their cookies. Those to which the kernel
    /// has not assigned a cookie are missing: listing them by [`crate::live::host::sock_diag`] assigns one.
    pub fn read(&mut self) -> Result<HashMap<u64, SocketRecord>, SocketsError> {
        let program = program(&mut self.ebpf)?;
        let failed = |error| SocketsError::Program(Box::new(error));
        let link = program.attach().map_err(failed)?;
        let mut file = program.take_link(link).map_err(failed)?.into_file().map_err(SocketsError::Open)?;
        let (mut buffer, mut filled) = (vec![0; READ_BYTES], 0);
        let mut sockets = HashMap::new();
        loop {
            match file.read(buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return Ok(sockets),
                Ok(read) => filled += read,
                // After a million sockets of which none was written, a read ends with EAGAIN. The next one goes on.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(error) => return Err(SocketsError::Read(error)),
            }
            let (records, _) = buffer.get(..filled).unwrap_or_default().as_chunks();
            let records = records.iter().map(SocketRecord::from_bytes).filter(|record| record.cookie != 0);
            sockets.extend(records.map(|record| (record.cookie, record)));
            // A read may end within a record.
            let whole = filled - filled % SocketRecord::BYTES;
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Iter, SocketsError> {
    match ebpf.program_mut(PROGRAM) {
        Some(Program::Iter(program)) => Ok(program),
        _ => Err(SocketsError::Missing),
    }
}

/// Returns where this kernel has the fields that the program reads.
fn layout(structs: &Structs<'_>) -> Result<SocketLayout, BtfError> {
    let saw_unknown = structs.place("tcp_sock.rx_opt.saw_unknown")?;
    Ok(SocketLayout {
        // A socket begins with its `sock_common`, and a `tcp_sock` with its `sock`.
        state: structs.place("sock_common.skc_state")?.byte(),
        cookie: structs.place("sock_common.skc_cookie")?.byte(),
        user_data: structs.place("sock.sk_user_data")?.byte(),
        saw_unknown: saw_unknown.byte(),
        saw_unknown_mask: saw_unknown.mask(),
    })
}
