//! The VM's kernel: Debian's cloud kernel, unpacked into the target directory and never installed. `vm.rs`
//! boots it. `kernel/others.rs` has further ones.

pub(crate) mod others;

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

/// Returns the paths of the modules in the directory that the kernel was unpacked into. Later kernels have compressed
/// ones, which are unpacked.
pub(crate) fn modules(directory: &Path) -> Result<Vec<PathBuf>> {
    let kernel = module_directory(directory)?.context("the VM's kernel has no modules")?;
    let mut modules = Vec::new();
    for module in MODULES.iter().map(|module| kernel.join("kernel").join(module)) {
        let compressed = module.with_extension("ko.xz");
        if compressed.exists() {
            exec::output(Command::new("xz").arg("--decompress").arg(&compressed))?;
        }
        // Some kernels lack one or have it built in, such as 5.10 kTLS; a check that needs it says so.
        if module.exists() {
            modules.push(module);
        }
    }
    Ok(modules)
}

/// Returns the directory of the modules of the kernel that was unpacked into `directory`, if it is there.
fn module_directory(directory: &Path) -> Result<Option<PathBuf>> {
    let places = ["lib/modules", "usr/lib/modules"].map(|place| directory.join(place));
    let Some(kernels) = places.into_iter().find(|it| it.exists()) else {
        return Ok(None);
    };
    let kernels = fs::read_dir(&kernels).with_context(|| format!("cannot read {}", kernels.display()))?;
    Ok(kernels.flatten().next().map(|kernel| kernel.path()))
}

/// Returns where the headers are installed that modules for the unpacked kernel are built with, if they are there.
pub(crate) fn headers(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let Some(release) = release(workspace)? else {
        return Ok(None);
    };
    let headers = Path::new("/usr/src").join(format!("linux-headers-{release}"));
    Ok(headers.join("Makefile").exists().then_some(headers))
}

/// Returns the release of the unpacked kernel, such as `6.1.0-56-cloud-amd64`.
fn release(workspace: &Workspace) -> Result<Option<String>> {
    let kernel = find(&workspace.target.join("vm"))?;
    let name = kernel.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Ok(name.and_then(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)))
}

/// Returns the path of the kernel that was unpacked into a directory, if it is there. Since 7.x, it is beside its modules.
pub(crate) fn find(directory: &Path) -> Result<Option<PathBuf>> {
    let boot = directory.join("boot");
    if !boot.exists() {
        let kernel = module_directory(directory)?.map(|modules| modules.join("vmlinuz"));
        return Ok(kernel.filter(|kernel| kernel.exists()));
    }
    let files = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let is_kernel =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    Ok(files.flatten().map(|it| it.path()).find(is_kernel))
}

/// Downloads and unpacks the kernel, and installs its headers.
pub(crate) fn fetch(workspace: &Workspace, apt: &mut Apt) -> Result<()> {
    ensure!(apt::is_debian(), "unpack Debian's {METAPACKAGE} of Debian 12 by hand into target/vm");
    let mut package = apt::depends(METAPACKAGE, false);
    if package.is_empty() {
        apt.update()?;
        package = apt::depends(METAPACKAGE, false);
    }
    let package = package.first().with_context(|| format!("apt knows no package {METAPACKAGE}"))?;
    // Apt may no longer have the headers of a kernel that was unpacked before.
    let directory = workspace.target.join("vm");
    for old in ["boot", "lib"].map(|name| directory.join(name)) {
        if old.exists() {
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&directory)?;
    eprintln!("setup: unpacking {package} into {}", directory.display());
    unpack(&directory, package, &[])?;
    let release = release(workspace)?.with_context(|| format!("{package} has no kernel"))?;
    apt.install(vec![format!("linux-headers-{release}")])
}

/// Downloads a package and unpacks it into a directory.
fn unpack(directory: &Path, package: &str, options: &[String]) -> Result<()> {
    // apt's sandbox user could not write to the target directory.
    let mut download = Command::new("apt-get");
    download.args(options).args(["-o", "APT::Sandbox::User=root", "download", package]);
    exec::run(download.current_dir(directory))?;
    for file in fs::read_dir(directory)?.flatten().map(|it| it.path()) {
        if file.extension().is_some_and(|it| it == "deb") {
            exec::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(directory))?;
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
