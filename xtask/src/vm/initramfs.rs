//! Builds the VM's initramfs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use toa_embed::toolchain;

use crate::exec;

/// What the VM has beside busybox and iproute2.
pub(super) struct Files<'a> {
    /// Programs, packed with the libraries that they need.
    pub(super) programs: [&'a Path; 2],
    /// Kernel modules in load order.
    pub(super) modules: &'a [PathBuf],
    /// Files in the root directory.
    pub(super) others: &'a [PathBuf],
}

/// Packs busybox, iproute2 and `files`. The kernel starts the script `init`.
pub(super) fn pack(directory: &Path, files: &Files<'_>, init: &str) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for path in ["bin", "dev", "modules", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(path))?;
    }
    let found = |name| toolchain::programs(name).next().with_context(|| format!("there is no {name}"));
    let tools = [found("busybox")?, found("ip")?, found("tc")?];
    for from in tools.iter().map(PathBuf::as_path).chain(files.programs) {
        copy(from, &root.join("bin").join(from.file_name().context("a program has no name")?))?;
        // ldd fails on a static program.
        let libraries = exec::output(Command::new("ldd").arg(from)).unwrap_or_default();
        for library in libraries.lines().filter_map(library) {
            let to = root.join(library.trim_start_matches('/'));
            fs::create_dir_all(to.parent().context("a library has no directory")?)?;
            copy(library.as_ref(), &to)?;
        }
    }
    for from in files.others {
        copy(from, &root.join(from.file_name().context("a file has no name")?))?;
    }
    for (number, from) in files.modules.iter().enumerate() {
        let name = from.file_name().context("a module has no name")?.to_string_lossy();
        copy(from, &root.join(format!("modules/{number:02}-{name}")))?;
    }
    let script = root.join("init");
    fs::write(&script, init)?;
    exec::output(Command::new("chmod").arg("755").arg(&script))?;

    let archive = directory.join("initramfs.cpio");
    let pack = "find . | cpio --quiet --create --format=newc --owner=0:0";
    let mut shell = Command::new("sh");
    let done = shell.args(["-ec", pack]).current_dir(&root).stdout(File::create(&archive)?).status()?;
    if !done.success() {
        bail!("cpio failed: {done}");
    }
    Ok(archive)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Returns the file that a line of `ldd` names: after the arrow, or the dynamic loader on its own. The vDSO
/// has no file.
fn library(line: &str) -> Option<&str> {
    let file = line.split_once(" => ").map_or(line, |(_, file)| file).trim();
    file.split_whitespace().next().filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_files() {
        let line = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f191b61e000)";
        assert_eq!(library(line), Some("/lib/x86_64-linux-gnu/libc.so.6"));
        let line = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1924c00000)";
        assert_eq!(library(line), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007f1924bfe000)"), None);
        assert_eq!(library("\tlibmissing.so => not found"), None);
        assert_eq!(library("\tstatically linked"), None);
    }
}
