//! The sockets that processes hold, found by their descriptors in `/proc/PID/fd`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::CStr,
    fs, io,
    mem::MaybeUninit,
    ops::ControlFlow,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, RawDir, open, readlinkat_raw},
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::realtime::RealtimeGuard;

/// Prefix of the link of a socket's descriptor. The inode and `]` follow.
const SOCKET: &[u8] = b"socket:[";

/// Bytes of a directory to read at once.
const ENTRIES_BYTES: usize = 32 << 10;

/// A process whose descriptors are being listed.
#[derive(Debug)]
pub(super) struct Process {
    /// The process ID.
    pub(super) pid: u32,
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// Duplicates one of the process's descriptors, passes the duplicate to `ask`, and closes it. While the duplicate
    /// is held, closing the original neither ends the connection nor removes it from an epoll set.
    pub(super) fn with_duplicate<T>(
        &mut self,
        descriptor: i32,
        ask: impl FnOnce(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        let pidfd = if let Some(pidfd) = self.pidfd.take() {
            pidfd
        } else {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
            pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty()).map_err(gone)?
        };
        let pidfd = self.pidfd.insert(pidfd);
        let _urgency = RealtimeGuard::begin();
        let duplicate = pidfd_getfd(pidfd.as_fd(), descriptor, PidfdGetfdFlags::empty())?;
        ask(&duplicate)
    }
}

/// Converts the errors of `pidfd_open` for a process that has ended to `ESRCH`. The kernel returns others if the number
/// is still in use, by a process group or a thread.
fn gone(error: Errno) -> Errno {
    match error {
        Errno::INVAL | Errno::NOENT => Errno::SRCH,
        error => error,
    }
}

/// Sockets that cannot be seen from our network namespace.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OtherNamespaces {
    /// Network namespaces of other processes.
    pub namespaces: u64,
    /// TCP sockets in them, including listening ones.
    pub sockets: u64,
}

/// Passes every socket that another process holds to `each`, with its inode and descriptor, until `each` breaks.
/// Returns the number of processes whose descriptors we may not list.
pub(super) fn walk(mut each: impl FnMut(&mut Process, u32, i32) -> ControlFlow<()>) -> io::Result<u64> {
    let mut refused = 0;
    let own = std::process::id();
    let mut entries = Vec::with_capacity(ENTRIES_BYTES);
    for pid in processes()?.filter(|pid| *pid != own) {
        let mut process = Process { pid, pidfd: None };
        let path = format!("/proc/{pid}/fd");
        let directory = match open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        {
            Ok(directory) => directory,
            Err(Errno::ACCESS | Errno::PERM) if is_there(pid) => {
                refused += 1;
                continue;
            }
            // The process has ended.
            Err(_) => continue,
        };
        let mut names = RawDir::new(&directory, entries.spare_capacity_mut());
        while let Some(Ok(entry)) = names.next() {
            match socket(&directory, entry.file_name()) {
                Ok(Some((descriptor, inode))) => {
                    if each(&mut process, inode, descriptor).is_break() {
                        return Ok(refused);
                    }
                }
                // The kernel returns these also if the process has ended.
                Err(Errno::ACCESS | Errno::PERM) if is_there(pid) => {
                    refused += 1;
                    break;
                }
                // Not a socket, or closed by now.
                Ok(None) | Err(_) => {}
            }
        }
    }
    Ok(refused)
}

/// Returns the processes that own sockets with these inodes: the first of each, in the order of `/proc`.
pub fn owners(inodes: impl IntoIterator<Item = u32>) -> io::Result<HashMap<u32, u32>> {
    let mut inodes: HashSet<_> = inodes.into_iter().collect();
    let mut owners = HashMap::with_capacity(inodes.len());
    if !inodes.is_empty() {
        walk(|process, inode, _| {
            if inodes.remove(&inode) {
                owners.insert(inode, process.pid);
            }
            if inodes.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(owners)
}

/// The processes that hold sockets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Holders {
    /// The process IDs, each with the inodes of the sockets.
    pub processes: BTreeMap<u32, BTreeSet<u32>>,
    /// Processes whose descriptors we may not list.
    pub refused: u64,
}

/// Returns the other processes that hold sockets with these inodes.
pub fn holders(inodes: impl IntoIterator<Item = u32>) -> io::Result<Holders> {
    let inodes: HashSet<_> = inodes.into_iter().collect();
    let mut holders = Holders::default();
    if !inodes.is_empty() {
        holders.refused = walk(|process, inode, _| {
            if inodes.contains(&inode) {
                holders.processes.entry(process.pid).or_default().insert(inode);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(holders)
}

fn is_there(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Returns the IDs of all processes.
fn processes() -> io::Result<impl Iterator<Item = u32>> {
    let numbers = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers)
}

/// Returns a descriptor and the inode of its socket, or `None` if it is not a socket.
fn socket(directory: &OwnedFd, name: &CStr) -> Result<Option<(i32, u32)>, Errno> {
    let number = |bytes| std::str::from_utf8(bytes).ok();
    // The entries `.` and `..` are not numbers.
    let Some(descriptor) = number(name.to_bytes()).and_then(|name| name.parse().ok()) else {
        return Ok(None);
    };
    let mut buffer = [const { MaybeUninit::uninit() }; 32];
    let (link, _) = readlinkat_raw(directory, name, &mut buffer)?;
    let inode = link.strip_prefix(SOCKET).and_then(|link| link.strip_suffix(b"]")).and_then(number);
    Ok(inode.and_then(|inode| inode.parse().ok()).map(|inode| (descriptor, inode)))
}

/// Counts the other network namespaces and the TCP sockets in them.
pub fn other_namespaces() -> io::Result<OtherNamespaces> {
    let own = fs::metadata("/proc/thread-self/ns/net")?.ino();
    let mut others = HashMap::new();
    for pid in processes()? {
        // The process has ended.
        let Ok(namespace) = fs::metadata(format!("/proc/{pid}/ns/net")) else {
            continue;
        };
        if namespace.ino() != own {
            others.entry(namespace.ino()).or_insert_with(|| {
                let table = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
                in_use(&table("sockstat")) + in_use(&table("sockstat6"))
            });
        }
    }
    Ok(OtherNamespaces { namespaces: others.len() as u64, sockets: others.values().sum() })
}

/// Returns the TCP sockets in the text of `/proc/net/sockstat` or `/proc/net/sockstat6`.
fn in_use(table: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix("TCP: ").or(line.strip_prefix("TCP6: ")));
    line.and_then(|line| line.strip_prefix("inuse ")?.split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_in_use_are_read() {
        let table = "sockets: used 12\nTCP: inuse 3 orphan 0 tw 1 alloc 5 mem 2\nUDP: inuse 1 mem 0\n";
        assert_eq!(in_use(table), 3);
        assert_eq!(in_use("TCP6: inuse 7\nUDP6: inuse 0\n"), 7);
        assert_eq!(in_use(""), 0);
    }
}
