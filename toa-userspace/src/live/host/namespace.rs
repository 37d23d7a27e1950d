//! Namespaces of processes.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Returns the inode of `/proc/{pid}/ns/{kind}`.
pub fn inode(pid: &str, kind: &str) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/ns/{kind}"))?.ino())
}

/// Runs `work` in the network namespace with this inode, which process `pid` is in. Fails if the process has moved to
/// another one.
pub fn run_in<T: Send>(pid: u32, inode: u64, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if self::inode("self", "net")? == inode {
        return work();
    }
    let file = File::open(format!("/proc/{pid}/ns/net"))?;
    if file.metadata()?.ino() != inode {
        return Err(io::Error::other("the process is in another network namespace now"));
    }
    let enter = || {
        // Moves only the calling thread, which ends after `work`.
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    let failed = || io::Error::other("the thread in the namespace failed");
    thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|_| Err(failed()))
}
