//! Namespaces of processes.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    thread,
};

use thiserror::Error;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps the namespaces that have names.
const NAMED: &str = "/run/netns";

/// Why a network namespace cannot be entered.
#[derive(Debug, Error)]
#[error("cannot enter network namespace {name} ({})", path.display())]
pub struct EnterError {
    /// As it was given.
    name: String,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Moves the calling thread, and all threads that it starts later, into a network namespace: that of a process, if `name`
/// is a number, or one with a path or a name of `ip netns`. Needs `CAP_SYS_ADMIN`.
pub fn enter(name: &str) -> Result<(), EnterError> {
    let path = path_of(name);
    let enter = || -> io::Result<()> {
        let file = File::open(&path)?;
        Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
    };
    enter().map_err(|source| EnterError { name: name.to_owned(), path: path.clone(), source })
}

fn path_of(name: &str) -> PathBuf {
    if name.contains('/') {
        PathBuf::from(name)
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        ["/proc", name, "ns/net"].iter().collect()
    } else {
        [NAMED, name].iter().collect()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_that_of_a_process_or_has_a_path_or_a_name() {
        let path = |name: &str| path_of(name).to_string_lossy().into_owned();
        assert_eq!(path("1"), "/proc/1/ns/net");
        assert_eq!(path("web"), "/run/netns/web");
        assert_eq!(path("web7"), "/run/netns/web7");
        assert_eq!(path("/proc/7/fd/3"), "/proc/7/fd/3");
        assert_eq!(path("./web"), "./web");
        let error = enter("no-such-namespace").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot enter network namespace no-such-namespace (/run/netns/no-such-namespace)"
        );
    }
}
