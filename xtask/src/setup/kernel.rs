//! The VM's kernel: Debian's cloud kernel, unpacked into the target directory and never installed. `vm.rs`
//! boots it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::apt::{self, Apt};
use crate::{exec, workspace::Workspace};

/// Depends on the current kernel package. Its own name does not change.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// Kernel modules that the check needs, in load order.
const MODULES: [&str; 11] = [
    "drivers/net/veth.ko",
    "net/llc/llc.ko",
    "net/802/stp.ko",
    "net/802/garp.ko",
    "net/802/mrp.ko",
    "net/8021q/8021q.ko",
    "net/sched/sch_ingress.ko",
    "net/sched/cls_bpf.ko",
    "net/ipv4/inet_diag.ko",
    "net/ipv4/tcp_diag.ko",
    "net/tls/tls.ko",
];

/// Returns the paths of the modules in the directory that the kernel was unpacked into.
pub(crate) fn modules(directory: &Path) -> Result<Vec<PathBuf>> {
    let kernels = directory.join("lib/modules");
    let kernel = fs::read_dir(&kernels).with_context(|| format!("cannot read {}", kernels.display()))?;
    let kernel = kernel.flatten().next().context("the VM's kernel has no modules")?.path();
    Ok(MODULES.iter().map(|module| kernel.join("kernel").join(module)).collect())
}

/// Returns the path of the kernel, if it is there.
pub(crate) fn find(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let boot = workspace.target.join("vm/boot");
    if !boot.exists() {
        return Ok(None);
    }
    let files = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let is_kernel =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    Ok(files.flatten().map(|it| it.path()).find(is_kernel))
}

/// Downloads and unpacks the kernel.
pub(crate) fn fetch(workspace: &Workspace, apt: &mut Apt) -> Result<()> {
    ensure!(apt::is_debian(), "unpack Debian's {METAPACKAGE} of Debian 12 by hand into target/vm");
    let mut package = apt::depends(METAPACKAGE, false);
    if package.is_empty() {
        apt.update()?;
        package = apt::depends(METAPACKAGE, false);
    }
    let package = package.first().with_context(|| format!("apt knows no package {METAPACKAGE}"))?;
    let directory = workspace.target.join("vm");
    fs::create_dir_all(&directory)?;
    eprintln!("setup: unpacking {package} into {}", directory.display());
    // apt's sandbox user could not write to the target directory.
    let download = ["-o", "APT::Sandbox::User=root", "download", package];
    exec::run(Command::new("apt-get").args(download).current_dir(&directory))?;
    for file in fs::read_dir(&directory)?.flatten().map(|it| it.path()) {
        if file.extension().is_some_and(|it| it == "deb") {
            exec::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&directory))?;
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
