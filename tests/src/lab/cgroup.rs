//! Finds this process's cgroup, to which the lab's programs are attached. Their settings restrict them to one
//! network namespace.
//!
//! The whole test process would have to join a new cgroup, which must then be removed again. A program that
//! is attached to the existing cgroup is detached with its last descriptor, however a test ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Opens this process's cgroup (version 2).
pub fn own() -> Result<File> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mount_point(&mounts).context("no cgroup2 file system is mounted")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    let path = own_path(Path::new(mount), &cgroups);
    let path = if path.is_dir() { path } else { mount.into() };
    File::open(&path).with_context(|| path.display().to_string())
}

/// Returns the first cgroup2 mount point in the text of `/proc/mounts`.
fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next()? == "cgroup2").then_some(point)
    })
}

/// Returns this process's directory below `mount`, from the text of `/proc/self/cgroup`.
fn own_path(mount: &Path, cgroups: &str) -> PathBuf {
    let below = cgroups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    if below.starts_with("..") { mount.to_owned() } else { mount.join(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_beside_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn the_process_is_found_below_the_mount() {
        let mount = Path::new("/mnt");
        assert_eq!(own_path(mount, "1:cpu:/\n0::/a.slice/b\n"), Path::new("/mnt/a.slice/b"));
        assert_eq!(own_path(mount, "0::/\n"), Path::new("/mnt"));
        assert_eq!(own_path(mount, "0::/../x\n"), Path::new("/mnt"));
    }
}
