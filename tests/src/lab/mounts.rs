//! Responsible for views of the file system that only one thread and its children have. Not responsible for
//! network namespaces.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    ptr, thread,
};

use anyhow::{Context, Result, ensure};

/// Where the BPF file system is usually mounted.
pub const BPF: &str = "/sys/fs/bpf";

/// What some kernels put into every new BPF file system themselves (`kernel/bpf/preload`).
const PRELOADED: [&str; 2] = ["maps.debug", "progs.debug"];

/// Runs `work` where an empty BPF file system is mounted. Nothing else sees it, and it goes afterwards.
pub fn with_bpf_file_system<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    with_private_mounts(|| {
        mount("bpf", Path::new(BPF), Some("bpf"), 0)?;
        work()
    })
}

/// Runs `work` where no BPF file system is mounted.
pub fn without_bpf_file_system<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    with_private_mounts(|| {
        while let Some(place) = last_mount_of("bpf", &fs::read_to_string("/proc/thread-self/mounts")?) {
            let place = CString::new(place)?;
            // SAFETY: the path is a string that ends in NUL.
            let result = unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
            ensure!(result == 0, "unmounting {place:?}: {}", std::io::Error::last_os_error());
        }
        work()
    })
}

/// Runs `work` where a hierarchy of cgroup v1 with this controller is mounted in a new directory. Nothing else sees the
/// mount; the hierarchy is the host's while it lasts.
pub fn with_cgroup_hierarchy<T: Send>(
    controller: &str,
    work: impl FnOnce(&Path) -> Result<T> + Send,
) -> Result<T> {
    let directory = tempfile::Builder::new().prefix("toa-cgroup-").tempdir()?;
    with_private_mounts(|| {
        mount_with("none", directory.path(), Some("cgroup"), 0, Some(controller))?;
        work(directory.path())
    })
}

fn with_private_mounts<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let private = || {
        // SAFETY: takes a flag and no pointer; changes this thread only.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        ensure!(result == 0, "making a mount namespace: {}", std::io::Error::last_os_error());
        mount("none", Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE)?;
        work()
    };
    let done = thread::scope(|scope| scope.spawn(private).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn mount(source: &str, place: &Path, kind: Option<&str>, flags: libc::c_ulong) -> Result<()> {
    mount_with(source, place, kind, flags, None)
}

fn mount_with(
    source: &str,
    place: &Path,
    kind: Option<&str>,
    flags: libc::c_ulong,
    data: Option<&str>,
) -> Result<()> {
    let (kind, data) = (kind.map(CString::new).transpose()?, data.map(CString::new).transpose()?);
    let (source, path) =
        (CString::new(source)?, CString::new(place.to_str().context("a path that is no text")?)?);
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    let data = data.as_ref().map_or(ptr::null(), |data| data.as_ptr().cast());
    // SAFETY: strings that end in NUL, or null where the kernel takes it: no type when it changes a mount, and
    // no data.
    let result = unsafe { libc::mount(source.as_ptr(), path.as_ptr(), kind, flags, data) };
    ensure!(result == 0, "mounting {}: {}", place.display(), std::io::Error::last_os_error());
    Ok(())
}

/// The last place in the text of `/proc/mounts` where a file system of this type is mounted.
fn last_mount_of<'a>(kind: &str, mounts: &'a str) -> Option<&'a str> {
    let mut places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == kind).then_some(place)
    });
    places.next_back()
}

/// Everything that was put into the BPF file system that the calling thread sees.
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
