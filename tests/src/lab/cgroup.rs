//! Finds this process's cgroup, to which the lab's programs are attached. Their settings restrict them to one
//! network namespace.
//!
//! The whole test process would have to join a new cgroup, which must then be removed again. A program that
//! is attached to the existing cgroup is detached with its last descriptor, however a test ends. Only where
//! the tool attaches a program itself, the servers run in a new [`Cgroup`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

use crate::wait;

/// Opens this process's cgroup (version 2).
pub fn own() -> Result<File> {
    let path = own_directory()?;
    File::open(&path).with_context(|| path.display().to_string())
}

fn own_directory() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mount_point(&mounts).context("no cgroup2 file system is mounted")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    let path = own_path(Path::new(mount), &cgroups);
    Ok(if path.is_dir() { path } else { mount.into() })
}

/// A new cgroup below this process's, removed with all below it when it is dropped. Their processes must have ended by then.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates it.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("toa-test-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = own_directory()?.join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    /// Returns its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in it: the sockets and processes that `work` creates belong to it, and so do those that
    /// other threads create at the same time.
    pub fn run<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = own_directory()?;
        join(&self.path)?;
        let done = work();
        join(&before)?;
        done
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process leaves it some time after its parent has waited for it.
        let _ = wait::until("an empty cgroup", || Ok(remove(&self.path).ok()));
    }
}

/// Removes a cgroup and all below it.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Moves this process to a cgroup.
fn join(path: &Path) -> Result<()> {
    fs::write(path.join("cgroup.procs"), "0").with_context(|| format!("joining {}", path.display()))
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
