//! Compiles the eBPF objects, once for all architectures, and the tool as a static, position-independent binary for each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use toa_embed::{embed::SHIPPED, ready, toolchain::Toolchain};

use super::paths::{self, Paths, recreate};
use crate::{build, exec, setup::dist::FOREIGN};

/// Compiles the objects and returns the folder with them. It is one that builds with stable Rust take.
pub(super) fn objects(paths: &Paths) -> Result<PathBuf> {
    let toolchain = Toolchain::find().map_err(anyhow::Error::msg)?;
    let sysroot = toolchain.sysroot().map_err(anyhow::Error::msg)?;
    let bins: Vec<&str> = SHIPPED.objects.iter().map(|object| object.name).collect();
    let built = toolchain
        .compile_with(
            Path::new("."),
            SHIPPED.name,
            &bins,
            &paths.target.join("dist-bpf"),
            &paths.remap(&sysroot),
        )
        .map_err(anyhow::Error::msg)?;
    let directory = directory(paths);
    recreate(&directory)?;
    for (object, from) in SHIPPED.objects.iter().zip(built) {
        let to = directory.join(ready::file_name(object.name));
        // The kernel reads BTF, which stays.
        exec::run(objcopy()?.arg("--strip-debug").arg(from).arg(&to))?;
        ready::find(&directory, object.name, object.programs).map_err(anyhow::Error::msg)?;
    }
    Ok(directory)
}

/// Returns the folder of the objects.
pub(super) fn directory(paths: &Paths) -> PathBuf {
    paths.target.join("dist-objects")
}

/// Compiles the tool and moves its line tables into a file of their own, which it returns.
pub(super) fn build(paths: &Paths, target: &str, objects: &Path) -> Result<PathBuf> {
    let mut flags = paths.remap(&exec::sysroot()?);
    // The compiler's own linker and C library: no others are needed for any architecture.
    flags.extend(
        ["-Clinker=rust-lld", "-Ctarget-feature=+crt-static", "-Crelocation-model=pic"].map(str::to_owned),
    );
    if target == FOREIGN {
        flags.extend(position_independent(&exec::sysroot()?));
    }
    let arguments = ["build", "--release", "--locked", "--package", build::TOOL, "--bin", build::TOOL];
    let mut cargo = exec::cargo(&arguments);
    cargo.args(["--target", target]).env("CARGO_TARGET_DIR", &paths.target);
    cargo.env(ready::VARIABLE, objects).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    exec::run(&mut paths::at(&paths.epoch, cargo))?;

    let stage = paths.stage(target);
    recreate(&stage)?;
    let built = paths.target.join(target).join("release").join(build::TOOL);
    let (tool, debug) = (stage.join(build::TOOL), stage.join("toa-tc.debug"));
    exec::run(objcopy()?.arg("--only-keep-debug").arg(&built).arg(&debug))?;
    // The debugger looks for the file by this name, beside the binary.
    let link = "--add-gnu-debuglink=toa-tc.debug";
    exec::run(objcopy()?.args(["--strip-all", link]).arg(&built).arg(build::TOOL).current_dir(&stage))?;
    fs::metadata(&tool).with_context(|| format!("there is no {}", tool.display()))?;
    Ok(debug)
}

/// Returns the flags for a static, position-independent binary for aarch64. The compiler knows how to link these for `x86_64`
/// alone, and has musl's files for both.
fn position_independent(sysroot: &Path) -> Vec<String> {
    let files = sysroot.join("lib/rustlib").join(FOREIGN).join("lib/self-contained");
    let objects = ["rcrt1.o", "crti.o", "crtbeginS.o", "crtendS.o", "crtn.o"]
        .map(|name| files.join(name).display().to_string());
    let options = ["-pie", "--no-dynamic-linker", "-ztext"].map(str::to_owned);
    let arguments = options.into_iter().chain(objects).map(|it| format!("-Clink-arg={it}"));
    let own = ["-Clink-self-contained=no".to_owned(), format!("-Lnative={}", files.display())];
    own.into_iter().chain(arguments).collect()
}

/// Writes a binary without symbols and line tables.
pub(super) fn strip(from: &Path, to: &Path) -> Result<()> {
    exec::run(objcopy()?.arg("--strip-all").arg(from).arg(to))
}

/// Returns a command for the compiler's own `objcopy`, which knows all architectures.
fn objcopy() -> Result<Command> {
    let sysroot = exec::sysroot()?;
    let path = sysroot.join("lib/rustlib").join(exec::host_triple()?).join("bin/rust-objcopy");
    ensure!(path.exists(), "there is no {}: use a toolchain of rustup", path.display());
    let mut command = Command::new(path);
    // Its LLVM is the compiler's.
    command.env("LD_LIBRARY_PATH", sysroot.join("lib"));
    Ok(command)
}
