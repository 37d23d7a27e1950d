//! What the build scripts do: compile eBPF objects and tell rustc where they are. `toolchain.rs` has the
//! compiler.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::toolchain::Toolchain;

/// A package of eBPF programs.
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its directory, relative to the workspace.
    pub directory: &'static str,
    /// Its binaries to embed, each with the variable that passes the object's path to `env!`.
    pub objects: &'static [(&'static str, &'static str)],
}

/// Compiles the packages' objects into `OUT_DIR` and passes on their paths. A build script needs nothing
/// else.
///
/// A failure is reported with cargo's own directive, which fails the build without a dump of the script's
/// output.
pub fn embed(packages: &[Package]) {
    if let Err(message) = try_embed(packages) {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Does the same, but returns the message for the user as the error.
fn try_embed(packages: &[Package]) -> Result<(), String> {
    let directory =
        |name: &str| env::var_os(name).map(PathBuf::from).ok_or(format!("cargo did not set {name}"));
    let (manifest, out) = (directory("CARGO_MANIFEST_DIR")?, directory("OUT_DIR")?);
    let workspace = manifest.parent().ok_or("the crate is outside of its workspace")?;
    watch(workspace, packages);

    let toolchain = Toolchain::find().map_err(|why| format!("{why}: run `cargo xtask setup`"))?;
    println!("cargo::rerun-if-changed={}", toolchain.linker.display());
    let target_dir = target_dir(&out);
    for package in packages {
        let bins: Vec<&str> = package.objects.iter().map(|(bin, _)| *bin).collect();
        let objects = toolchain.compile(workspace, package.name, &bins, &target_dir)?;
        for (object, (bin, variable)) in objects.iter().zip(package.objects) {
            let embedded = out.join(bin);
            copy_if_different(object, &embedded).map_err(|error| {
                format!("cannot copy {} to {}: {error}", object.display(), embedded.display())
            })?;
            println!("cargo::rustc-env={variable}={}", embedded.display());
        }
    }
    Ok(())
}

/// Names every file that an object depends on. Cargo already knows the build script itself and these modules.
fn watch(workspace: &Path, packages: &[Package]) {
    let sources = packages.iter().map(|package| package.directory).chain(["toa-common"]);
    let watched = sources.flat_map(|it| [format!("{it}/src"), format!("{it}/Cargo.toml")]);
    for path in watched.chain(["Cargo.toml".to_owned(), "Cargo.lock".to_owned()]) {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
}

/// Returns a target directory for the inner cargo, because the outer one's is locked. All build scripts and
/// profiles share it.
fn target_dir(out: &Path) -> PathBuf {
    out.ancestors().find(|it| it.join("CACHEDIR.TAG").is_file()).unwrap_or(out).join("bpf")
}

/// Copies a file unless the copy is identical, so that a relinked but unchanged object causes no rebuild.
fn copy_if_different(from: &Path, to: &Path) -> io::Result<()> {
    let new = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == new) { Ok(()) } else { fs::write(to, new) }
}
