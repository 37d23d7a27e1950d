//! The workloads of processes and of listening sockets.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use log::debug;

use super::{cgroup, sock_diag::SockDiag};
use crate::{error_chain::ErrorChain, workload::Workload};

/// How long listening sockets are taken to stay the same.
const REFRESH: Duration = Duration::from_secs(10);

/// How long nothing is taken to listen at an address at which nothing did.
const RETRY: Duration = Duration::from_secs(1);

/// Most cgroups among which one is sought.
const MAX_CGROUPS: usize = 65_536;

/// Returns the workload of a process, if it has a cgroup.
pub fn of_process(pid: u32) -> Option<Workload> {
    Workload::of_cgroup(path_of_process(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)?)
}

/// Returns the path in the text of `/proc/PID/cgroup`: that of cgroup 2 or, without one, that of systemd.
fn path_of_process(text: &str) -> Option<&str> {
    let path = |controllers: &str| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':').filter(|(of, path)| *of == controllers && *path != "/").map(|(_, path)| path)
        })
    };
    path("").or_else(|| path("name=systemd"))
}

/// The workloads of the sockets that listen in a network namespace. The cgroup of a socket is that of the process that
/// created it.
pub struct Workloads {
    table: SockDiag,
    /// Where cgroups are mounted.
    root: Option<PathBuf>,
    /// By identifier, also those that were not found: an identifier is not used again.
    cgroups: HashMap<u64, Option<Arc<Workload>>>,
    listeners: HashMap<SocketAddr, Option<Arc<Workload>>>,
    /// When the sockets were listed.
    listed: Option<Instant>,
}

impl Workloads {
    /// Returns those of the network namespace that `table` shows.
    pub fn new(table: SockDiag) -> Self {
        let (cgroups, listeners) = (HashMap::new(), HashMap::new());
        Self { table, root: cgroup::root().ok(), cgroups, listeners, listed: None }
    }

    /// Returns the workload of the socket that accepts connections to an address, if there is one that has a cgroup.
    pub fn get(&mut self, server: SocketAddr) -> Option<Arc<Workload>> {
        let wait = if self.find(server).is_some() { REFRESH } else { RETRY };
        if self.listed.is_none_or(|listed| listed.elapsed() >= wait) {
            self.list();
        }
        self.find(server).cloned().flatten()
    }

    /// Returns the entry of the socket that is bound to an address or, without one, to all.
    fn find(&self, server: SocketAddr) -> Option<&Option<Arc<Workload>>> {
        // A socket of all IPv6 addresses usually accepts IPv4 as well.
        let addresses = [server.ip(), Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let of = |address: IpAddr| self.listeners.get(&SocketAddr::new(address, server.port()));
        addresses.into_iter().find_map(of)
    }

    fn list(&mut self) {
        self.listed = Some(Instant::now());
        let listeners = match self.table.listeners() {
            Ok(listeners) => listeners,
            Err(error) => return debug!("{}", ErrorChain(&error)),
        };
        let is_unknown = |id: &u64| !self.cgroups.contains_key(id);
        self.look_for(listeners.iter().filter_map(|it| it.cgroup).filter(is_unknown).collect());
        let workload = |id: Option<u64>| id.and_then(|id| self.cgroups.get(&id).cloned().flatten());
        self.listeners =
            listeners.iter().map(|it| (SocketAddr::new(it.address, it.port), workload(it.cgroup))).collect();
    }

    /// Looks for cgroups. The identifier of one is the number of its directory's inode.
    fn look_for(&mut self, mut ids: HashSet<u64>) {
        let Some(root) = &self.root else { return };
        let mut directories = vec![root.clone()];
        let mut left = MAX_CGROUPS;
        while let Some(directory) = directories.pop()
            && !ids.is_empty()
            && left > 0
        {
            left = left.saturating_sub(1);
            // A cgroup may be removed while they are listed.
            let Ok(metadata) = fs::metadata(&directory) else { continue };
            if ids.remove(&metadata.ino()) {
                self.cgroups.insert(metadata.ino(), workload(root, &directory));
            }
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            directories.extend(below.map(|entry| entry.path()));
        }
        self.cgroups.extend(ids.into_iter().map(|id| (id, None)));
    }
}

/// Returns the workload of a cgroup's directory.
fn workload(root: &Path, directory: &Path) -> Option<Arc<Workload>> {
    let path = directory.strip_prefix(root).ok()?.to_string_lossy();
    Workload::of_cgroup(&format!("/{path}")).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_read() {
        assert_eq!(path_of_process("0::/system.slice/nginx.service\n"), Some("/system.slice/nginx.service"));
        let first = "12:cpu,cpuacct:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n";
        assert_eq!(path_of_process(first), Some("/system.slice/nginx.service"));
        assert_eq!(path_of_process("nonsense"), None);
    }
}
