//! The functions of a TLS library, found in the symbols of its file.

use std::{fs, io, path::Path};

use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, SegmentFlags, elf,
    read::elf::ElfFile64,
};
use thiserror::Error;

use super::place::{self, Code};

/// What a probe at a function does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Its first argument is bound to the descriptor in its second.
    Binds,
    /// It frees its first argument.
    Frees,
    /// It reads and returns the number of bytes.
    Reads,
    /// It reads and stores the number of bytes.
    ReadsEx,
}

/// The functions with probes. The reading ones are last: once they have probes, all others have.
const FUNCTIONS: [(&str, Role); 5] = [
    ("SSL_free", Role::Frees),
    ("SSL_set_fd", Role::Binds),
    ("SSL_set_rfd", Role::Binds),
    ("SSL_read_ex", Role::ReadsEx),
    ("SSL_read", Role::Reads),
];

/// Why a file has no functions to read plaintext.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// It is no program or library for this machine.
    #[error("is no ELF file of 64 bits")]
    Format(#[source] object::Error),
    /// It is a Go program, which has a TLS implementation of its own.
    #[error("is a Go program, which does not use OpenSSL")]
    Go,
    /// It has no symbols, so that a library that is linked into it cannot be found.
    #[error("is stripped, and no library with SSL_read is loaded")]
    Stripped,
    /// It has symbols, but not those.
    #[error("has no SSL_read")]
    Absent,
}

/// The name of the function behind both reading ones, in OpenSSL. Others do not see it.
const READ_INTERNAL: &str = "ssl_read_internal";

/// A function and its place in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Function {
    /// What a probe does there.
    pub role: Role,
    /// Its name.
    pub name: &'static str,
    /// Offset of an instruction at its beginning, before which it changes nothing, in bytes.
    pub offset: u64,
}

/// Returns the functions of a library, or of a program that contains it.
pub fn functions(path: &Path) -> Result<Vec<Function>, LibraryError> {
    let bytes = fs::read(path).map_err(LibraryError::Read)?;
    of_bytes(&bytes)
}

fn of_bytes(bytes: &[u8]) -> Result<Vec<Function>, LibraryError> {
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(LibraryError::Format)?;
    let symbols = || file.dynamic_symbols().chain(file.symbols()).filter(object::ObjectSymbol::is_definition);
    let mut found = [None; FUNCTIONS.len()];
    for symbol in symbols() {
        let Ok(name) = symbol.name_bytes() else { continue };
        let place = FUNCTIONS.iter().zip(&mut found).find(|((wanted, _), _)| wanted.as_bytes() == name);
        if let Some((_, place)) = place {
            *place = place.or_else(|| Segments(&file).code(symbol.address(), symbol.size()));
        }
    }
    let found = FUNCTIONS.iter().zip(found).filter_map(|((name, role), code)| Some((*name, *role, code?)));
    let functions: Vec<_> = Segments(&file).best(found.collect());
    if functions.iter().any(|function| matches!(function.role, Role::Reads | Role::ReadsEx)) {
        return Ok(functions);
    }
    let is_go = file.sections().any(|section| section.name() == Ok(".go.buildinfo"));
    Err(if is_go {
        LibraryError::Go
    } else if file.symbols().next().is_none() {
        LibraryError::Stripped
    } else {
        LibraryError::Absent
    })
}

/// The parts of a file that are loaded.
struct Segments<'a>(&'a ElfFile64<'a, object::Endianness>);

impl<'a> Segments<'a> {
    /// Returns where the file has what is loaded at an address, and the bytes from there on.
    fn at(&self, address: u64) -> Option<(u64, &'a [u8])> {
        self.0.segments().find_map(|segment| {
            let distance = address.checked_sub(segment.address())?;
            let (start, len) = segment.file_range();
            let bytes = segment.data().ok()?.get(usize::try_from(distance).ok()?..)?;
            (distance < len).then(|| start.checked_add(distance)).flatten().map(|offset| (offset, bytes))
        })
    }

    /// Returns whether what is loaded at an address is executed.
    fn is_executed(&self, address: u64) -> bool {
        self.0.segments().any(|segment| {
            let is_there =
                address.checked_sub(segment.address()).is_some_and(|distance| distance < segment.size());
            let flags = match segment.flags() {
                SegmentFlags::Elf { p_flags } => p_flags,
                _ => 0,
            };
            is_there && flags & elf::PF_X != 0
        })
    }

    /// Returns the code of a function of this many bytes, if that is known.
    fn code(&self, address: u64, len: u64) -> Option<Code<'a>> {
        let (_, bytes) = self.at(address)?;
        Some(Code { address, bytes: bytes.get(..usize::try_from(len).ok()?).unwrap_or_default() })
    }

    /// Returns where the probes of these functions cost least.
    fn best(&self, mut found: Vec<(&'static str, Role, Code<'a>)>) -> Vec<Function> {
        let of = |wanted| found.iter().find(|(_, role, _)| *role == wanted).map(|(.., code)| *code);
        let internal = of(Role::Reads).zip(of(Role::ReadsEx)).and_then(|(read, read_ex)| {
            let address = place::common_callee(read, read_ex, |address| self.is_executed(address))?;
            self.emulated(address).map(|offset| Function { role: Role::ReadsEx, name: READ_INTERNAL, offset })
        });
        if internal.is_some() {
            found.retain(|(_, role, _)| !matches!(role, Role::Reads | Role::ReadsEx));
        }
        let places = found.into_iter().filter_map(|(name, role, code)| {
            let offset = self.emulated(code.address).or_else(|| Some(self.at(code.address)?.0))?;
            Some(Function { role, name, offset })
        });
        places.chain(internal).collect()
    }

    /// Returns a place at the beginning of a function where the kernel emulates the instruction.
    fn emulated(&self, address: u64) -> Option<u64> {
        if self.0.architecture() != object::Architecture::X86_64 {
            return None;
        }
        let (offset, bytes) = self.at(address)?;
        offset.checked_add(place::emulated(bytes)?)
    }
}

/// Returns whether the program or library at `path` calls a function that gives a TLS object its descriptor.
pub fn binds_descriptors(path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else { return false };
    let Ok(file) = ElfFile64::<object::Endianness>::parse(&*bytes) else { return false };
    let binds = |name: &[u8]| {
        FUNCTIONS.iter().any(|(function, role)| *role == Role::Binds && function.as_bytes() == name)
    };
    file.dynamic_symbols()
        .filter(object::ObjectSymbol::is_undefined)
        .any(|symbol| symbol.name_bytes().is_ok_and(binds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_says_why() {
        assert!(matches!(functions(Path::new("/nonexistent")), Err(LibraryError::Read(_))));
        assert!(matches!(of_bytes(b"#!/bin/sh\n"), Err(LibraryError::Format(_))));
        // This test itself.
        let own = std::env::current_exe().unwrap();
        assert!(matches!(functions(&own), Err(LibraryError::Absent | LibraryError::Stripped)));
        assert!(!binds_descriptors(&own));
    }
}
