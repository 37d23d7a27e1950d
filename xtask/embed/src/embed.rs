//! What the build scripts do: compile eBPF objects, or take ready ones, and tell rustc where they are. `toolchain.rs` has
//! the compiler, `ready.rs` the checks of ready objects.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{ready, toolchain::Toolchain};

/// A package of eBPF programs.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its directory, relative to the workspace.
    pub directory: &'static str,
    /// Its binaries to embed.
    pub objects: &'static [Object],
}

/// A binary of eBPF programs.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its name.
    pub name: &'static str,
    /// The variable that passes its path to `env!`.
    pub variable: &'static str,
    /// The section of its programs.
    pub programs: &'static str,
}

/// The objects in the tool. Those of tests are never ready ones.
pub const SHIPPED: Package = Package {
    name: "toa-ebpf",
    directory: "toa-ebpf",
    objects: &[
        Object { name: "toa-ingress", variable: "TOA_INGRESS_OBJECT", programs: "classifier" },
        Object { name: "toa-sockets", variable: "TOA_SOCKETS_OBJECT", programs: "iter/tcp" },
        Object { name: "toa-remember", variable: "TOA_REMEMBER_OBJECT", programs: "sockops" },
        Object { name: "toa-remembered", variable: "TOA_REMEMBERED_OBJECT", programs: "iter/tcp" },
    ],
};

/// Compiles the packages' objects into `OUT_DIR`, or copies ready ones, and passes on their paths. A build script needs
/// nothing else.
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
    println!("cargo::rerun-if-env-changed={}", ready::VARIABLE);
    let ready = env::var_os(ready::VARIABLE).filter(|it| !it.is_empty()).map(PathBuf::from);
    for package in packages {
        let objects = match &ready {
            Some(directory) if package.name == SHIPPED.name => take(directory, package)?,
            _ => compile(workspace, package, &out)?,
        };
        for (path, object) in objects.iter().zip(package.objects) {
            let embedded = out.join(object.name);
            copy_if_different(path, &embedded).map_err(|error| {
                format!("cannot copy {} to {}: {error}", path.display(), embedded.display())
            })?;
            println!("cargo::rustc-env={}={}", object.variable, embedded.display());
        }
    }
    Ok(())
}

/// Returns the paths of a package's ready objects.
fn take(directory: &Path, package: &Package) -> Result<Vec<PathBuf>, String> {
    let find = |object: &Object| {
        let path = ready::find(directory, object.name, object.programs)?;
        println!("cargo::rerun-if-changed={}", path.display());
        Ok(path)
    };
    package.objects.iter().map(find).collect()
}

/// Compiles a package's objects and returns their paths.
fn compile(workspace: &Path, package: &Package, out: &Path) -> Result<Vec<PathBuf>, String> {
    if !workspace.join(package.directory).exists() {
        return Err(format!(
            "the sources of the eBPF objects are not in this package: set {} to a directory that contains ready ones, \
             or build in a clone",
            ready::VARIABLE
        ));
    }
    watch(workspace, package);
    let toolchain = Toolchain::find().map_err(|why| {
        format!(
            "{why}: run `cargo xtask setup`, or set {} to a directory that contains ready objects",
            ready::VARIABLE
        )
    })?;
    println!("cargo::rerun-if-changed={}", toolchain.linker.display());
    let bins: Vec<&str> = package.objects.iter().map(|object| object.name).collect();
    toolchain.compile(workspace, package.name, &bins, &target_dir(out))
}

/// Names every file that an object depends on. Cargo already knows the build script itself and these modules.
fn watch(workspace: &Path, package: &Package) {
    let watched = [package.directory, "toa-common"]
        .into_iter()
        .flat_map(|it| [format!("{it}/src"), format!("{it}/Cargo.toml")]);
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
