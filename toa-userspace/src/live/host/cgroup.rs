//! Cgroups (version 2).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::fstatfs;
use thiserror::Error;

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Why a cgroup cannot be used.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// The hierarchy is not mounted.
    #[error("no cgroup2 file system is mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)")]
    NotMounted,
    /// It cannot be opened.
    #[error("cannot open the cgroup {path}")]
    Open {
        /// Its directory.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no cgroup: it is not in a cgroup2 file system")]
    NotACgroup {
        /// What was given.
        path: PathBuf,
    },
}

/// Returns the directory of the root cgroup, or of the topmost one that this process sees.
pub fn root() -> Result<PathBuf, CgroupError> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mount_point(&mounts).map(PathBuf::from).ok_or(CgroupError::NotMounted)
}

/// Opens a cgroup's directory.
pub fn open(path: &Path) -> Result<File, CgroupError> {
    let failed = |source| CgroupError::Open { path: path.to_owned(), source };
    let directory = File::open(path).map_err(failed)?;
    let magic = fstatfs(&directory).map_err(|error| failed(error.into()))?.f_type;
    // The file system also has files that are no cgroups.
    let is_cgroup = u64::try_from(magic).is_ok_and(|magic| magic == CGROUP2_MAGIC)
        && directory.metadata().map_err(failed)?.is_dir();
    if is_cgroup { Ok(directory) } else { Err(CgroupError::NotACgroup { path: path.to_owned() }) }
}

/// Returns the first cgroup2 mount point in the text of `/proc/mounts`.
fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next()? == "cgroup2").then_some(point)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_beside_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn what_is_no_cgroup_is_refused() {
        assert!(matches!(open(Path::new("/no/such/cgroup")), Err(CgroupError::Open { .. })));
        for other in ["/proc", "/proc/self/stat"] {
            assert!(matches!(open(Path::new(other)), Err(CgroupError::NotACgroup { .. })), "{other}");
        }
    }
}
