//! The functions of a TLS library, found in the symbols of its file.

use std::{fs, io, path::Path};

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, read::elf::ElfFile64};
use thiserror::Error;

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

/// A function and its place in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Function {
    /// What a probe does there.
    pub role: Role,
    /// Its name.
    pub name: &'static str,
    /// Offset of its first instruction, in bytes.
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
            *place = place.or_else(|| file_offset(&file, symbol.address()));
        }
    }
    let functions: Vec<_> = FUNCTIONS
        .iter()
        .zip(found)
        .filter_map(|((name, role), offset)| Some(Function { role: *role, name, offset: offset? }))
        .collect();
    if functions.iter().any(|function| function.role == Role::Reads) {
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

/// Returns where the file has what is loaded at an address.
fn file_offset(file: &ElfFile64<'_, object::Endianness>, address: u64) -> Option<u64> {
    file.segments().find_map(|segment| {
        let distance = address.checked_sub(segment.address())?;
        let (start, len) = segment.file_range();
        (distance < len).then(|| start.checked_add(distance)).flatten()
    })
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
