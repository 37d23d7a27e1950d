//! File system mounts that only one thread and its children see.

use std::{
    ffi::CString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

/// The usual mount point of the BPF file system.
pub const BPF: &str = "/sys/fs/bpf";

/// What some kernels put into every new BPF file system (`kernel/bpf/preload`).
const PRELOADED: [&str; 2] = ["maps.debug", "progs.debug"];

/// Runs `work` with an empty BPF file system, which only `work` sees and which is unmounted afterwards.
pub fn with_bpf_file_system<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    with_private_mounts(|| {
        mount("bpf", BPF, "bpf", MountFlags::empty(), None).context("mounting a BPF file system")?;
        work()
    })
}

/// Runs `work` without any BPF file system.
pub fn without_bpf_file_system<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    with_private_mounts(|| {
        while let Some(place) = last_mount_of("bpf", &fs::read_to_string("/proc/thread-self/mounts")?) {
            unmount(place, UnmountFlags::DETACH).with_context(|| format!("unmounting {place}"))?;
        }
        work()
    })
}

/// Runs `work` with a cgroup-v1 hierarchy of this controller mounted in a new directory. Only `work` sees the
/// mount, but the hierarchy exists on the whole host until it ends.
pub fn with_cgroup_hierarchy<T: Send>(
    controller: &str,
    work: impl FnOnce(&Path) -> Result<T> + Send,
) -> Result<T> {
    let directory = tempfile::Builder::new().prefix("toa-cgroup-").tempdir()?;
    with_private_mounts(|| {
        let controller = CString::new(controller)?;
        mount("none", directory.path(), "cgroup", MountFlags::empty(), controller.as_c_str())
            .context("mounting a cgroup hierarchy")?;
        work(directory.path())
    })
}

/// Runs `work` with another content in an existing file, which only `work` sees.
pub fn with_content<T: Send>(
    file: &str,
    content: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let mut other = tempfile::NamedTempFile::new()?;
    other.write_all(content.as_bytes())?;
    with_private_mounts(|| {
        mount_bind(other.path(), file).with_context(|| format!("mounting over {file}"))?;
        work()
    })
}

fn with_private_mounts<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let private = || {
        // SAFETY: this leaves the descriptor table shared and changes only this thread.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("making a mount namespace")?;
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", private).context("making mounts private")?;
        work()
    };
    let done = thread::scope(|scope| scope.spawn(private).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Returns the last mount point of this file system type in the text of `/proc/mounts`.
fn last_mount_of<'a>(kind: &str, mounts: &'a str) -> Option<&'a str> {
    let mut places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == kind).then_some(place)
    });
    places.next_back()
}

/// Returns everything that was added to the BPF file system of the calling thread.
pub fn pins() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from(BPF)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
            if !PRELOADED.iter().any(|name| entry.file_name() == *name) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_is_found() {
        let mounts = "a /x bpf rw 0 0\nb /y proc rw 0 0\nc /z bpf rw 0 0\nd /w tmpfs rw 0 0\n";
        assert_eq!(last_mount_of("bpf", mounts), Some("/z"));
        assert_eq!(last_mount_of("ext4", mounts), None);
    }
}
