//! Shows who attached a program, to everybody in the interface's network namespace.

use std::{io, os::fd::OwnedFd};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

/// Shows that the process lives which has attached a program: an abstract address that the kernel frees when the process
/// ends. `/proc` does not show the processes of other PID namespaces, and only with `CAP_SYS_ADMIN` does the kernel show the
/// names of programs.
#[derive(Debug)]
pub(crate) struct Mark(#[expect(dead_code, reason = "it is held, not used")] OwnedFd);

impl Mark {
    /// Marks this program on this interface. Fails with `AddrInUse` if it is marked already.
    pub(crate) fn new(index: u32, program: u32) -> io::Result<Self> {
        let name = format!("toa-tc/program/{index}/{program}");
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok(Self(socket))
    }
}

/// Returns whether the process that has attached a program certainly lives no more.
pub(crate) fn is_unmarked(index: u32, program: u32) -> bool {
    Mark::new(index, program).is_ok()
}

/// Returns whether a process that lives has attached a program.
pub(crate) fn is_marked(index: u32, program: u32) -> bool {
    Mark::new(index, program).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_marked_as_long_as_its_mark_lives() {
        let (index, program) = (u32::MAX, std::process::id());
        let mark = Mark::new(index, program).unwrap();
        assert!(is_marked(index, program) && !is_unmarked(index, program));
        assert!(is_unmarked(index - 1, program) && is_unmarked(index, program - 1));
        drop(mark);
        assert!(is_unmarked(index, program) && !is_marked(index, program));
    }
}
