//! Where this kernel and this machine have what the plaintext programs read.

use std::{fs, io};

use thiserror::Error;
use toa_common::plaintext::{READING_CALLS, TaskLayout};

use crate::live::host::{
    btf::{self, BtfError, Structs},
    namespace,
};

/// Why that is not known.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// The kernel does not describe its types.
    #[error("no BTF at {path}", path = btf::PATH)]
    NoBtf(#[source] io::Error),
    /// A field is not where it is expected.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The network namespace is not known.
    #[error("cannot tell the network namespace")]
    Namespace(#[source] io::Error),
    /// The registers of this machine are not known.
    #[error("not on this architecture: only on x86-64 and arm64")]
    Architecture,
}

/// The registers of a machine.
#[derive(Clone, Copy, Debug)]
struct Registers {
    arguments: [u32; 4],
    result: u32,
    stack: u32,
    return_bytes: u32,
}

/// The numbers of `read`, `readv`, `recvfrom` and `recvmsg`.
const READING: [libc::c_long; READING_CALLS] =
    [libc::SYS_read, libc::SYS_readv, libc::SYS_recvfrom, libc::SYS_recvmsg];

/// Returns the layout for this kernel, and for servers in this thread's network namespace.
pub fn layout() -> Result<TaskLayout, LayoutError> {
    let bytes = fs::read(btf::PATH).map_err(LayoutError::NoBtf)?;
    let inode = namespace::inode("thread-self", "net").map_err(LayoutError::Namespace)?;
    // The kernel's own numbers of namespaces have 32 bits.
    of(&Structs::parse(&bytes)?, inode as u32)
}

fn of(structs: &Structs<'_>, namespace: u32) -> Result<TaskLayout, LayoutError> {
    let byte = |path| structs.place(path).map(btf::Place::byte);
    let Registers { arguments, result, stack, return_bytes } = registers(structs)?;
    Ok(TaskLayout {
        arguments,
        result,
        stack,
        return_bytes,
        reading_calls: READING.map(|number| number.cast_unsigned() as u32),
        files: byte("task_struct.files")?,
        table: byte("files_struct.fdt")?,
        table_len: byte("fdtable.max_fds")?,
        descriptors: byte("fdtable.fd")?,
        private_data: byte("file.private_data")?,
        socket_file: byte("socket.file")?,
        socket_sock: byte("socket.sk")?,
        protocol: byte("sock.sk_protocol")?,
        family: byte("sock_common.skc_family")?,
        peer_port: byte("sock_common.skc_dport")?,
        local_port: byte("sock_common.skc_num")?,
        peer_ipv4: byte("sock_common.skc_daddr")?,
        local_ipv4: byte("sock_common.skc_rcv_saddr")?,
        peer_ipv6: byte("sock_common.skc_v6_daddr")?,
        local_ipv6: byte("sock_common.skc_v6_rcv_saddr")?,
        net: byte("sock_common.skc_net.net")?,
        net_inode: byte("net.ns.inum")?,
        namespace,
    })
}

/// Returns where the kernel keeps the registers of a thread (System V ABI for x86-64, section 3.2.3).
#[cfg(target_arch = "x86_64")]
fn registers(structs: &Structs<'_>) -> Result<Registers, LayoutError> {
    let byte = |path| structs.place(path).map(btf::Place::byte);
    Ok(Registers {
        arguments: [byte("pt_regs.di")?, byte("pt_regs.si")?, byte("pt_regs.dx")?, byte("pt_regs.cx")?],
        result: byte("pt_regs.ax")?,
        stack: byte("pt_regs.sp")?,
        // The address that the call has pushed.
        return_bytes: 8,
    })
}

/// Returns where the kernel keeps the registers of a thread (Procedure Call Standard for arm64, section 6).
#[cfg(target_arch = "aarch64")]
fn registers(structs: &Structs<'_>) -> Result<Registers, LayoutError> {
    let first = structs.place("pt_regs.regs")?.byte();
    let register = |number: u32| first + 8 * number;
    Ok(Registers {
        arguments: [register(0), register(1), register(2), register(3)],
        result: register(0),
        stack: structs.place("pt_regs.sp")?.byte(),
        return_bytes: 0,
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: &Structs<'_>) -> Result<Registers, LayoutError> {
    Err(LayoutError::Architecture)
}
