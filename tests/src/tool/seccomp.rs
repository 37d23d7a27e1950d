//! Makes one system call fail for a command, as a container's profile or an older kernel would.

use std::{io, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// Offset of the call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// Makes the system call of this number fail with `error` in `command` and its children.
pub fn refuse(command: &mut Command, number: libc::c_long, error: libc::c_int) -> Result<()> {
    let code = |code: u32| u16::try_from(code).context("no code");
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let (number, error) = (u32::try_from(number)?, u32::try_from(error)?);
    let program = [
        instruction(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS)?, 0, 0, NUMBER),
        instruction(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K)?, 0, 1, number),
        instruction(code(libc::BPF_RET | libc::BPF_K)?, 0, 0, libc::SECCOMP_RET_ERRNO | error),
        instruction(code(libc::BPF_RET | libc::BPF_K)?, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut program = program;
        let len = program.len() as libc::c_ushort;
        let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
        // SAFETY: the arguments are integers and a filter that outlives the call and has the given number of
        // instructions.
        let result =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec, `install` makes one system call and allocates nothing.
    unsafe { command.pre_exec(install) };
    Ok(())
}
