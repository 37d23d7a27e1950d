//! Installs a toolchain for BPF. `toolchain.rs` finds it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use super::apt::{self, Apt};
use toa_embed::toolchain::{Compiler, linker, programs};

use crate::exec;

/// The version of `bpf-linker`. A later one may need a newer compiler than this workspace.
const LINKER_VERSION: &str = "0.13.0";

/// What to install.
pub(crate) struct Plan {
    /// Debian packages.
    pub(crate) packages: Vec<String>,
    /// The LLVM major version that the linker must be built with.
    pub(crate) llvm: u32,
}

/// Adds `rust-src` to an installed rustup nightly. A failure is not an error, because Debian's compiler can
/// be used instead.
pub(crate) fn add_rust_src() {
    let has_nightly =
        || exec::output(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"])).is_ok();
    if programs("rustup").next().is_none() || Compiler::Nightly.llvm().is_ok() || !has_nightly() {
        return;
    }
    let add =
        exec::run(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", "nightly"]));
    if let Err(error) = add {
        eprintln!("setup: {error:#}; trying without rustup");
    }
}

/// Chooses a compiler and what it needs. The error says what to install by hand.
pub(crate) fn plan(apt: &mut Apt) -> Result<Plan> {
    let debian = apt::is_debian();
    for compiler in [Compiler::Nightly, Compiler::Debian] {
        let Ok(llvm) = compiler.llvm() else { continue };
        let packages = linker_packages(llvm);
        if linker(llvm).is_ok()
            || llvm_config(llvm).is_some() && packages.iter().all(|it| !debian || apt::is_installed(it))
        {
            return Ok(Plan { packages: Vec::new(), llvm });
        }
        if debian {
            apt.update()?;
            // A nightly may have an LLVM that Debian does not have yet.
            if exec::output(Command::new("apt-cache").args(["show", &dev(llvm)])).is_ok() {
                return Ok(Plan { packages, llvm });
            }
        }
    }
    if !debian {
        bail!(
            "install a rustup nightly with rust-src (`rustup toolchain install nightly --component rust-src`), the \
             development files of the LLVM that `rustc +nightly -vV` names, with its llvm-config on PATH, and run \
             `cargo xtask setup` again; or install a bpf-linker with that LLVM by hand"
        );
    }
    apt.update()?;
    let llvm = apt::depends("rustc-web", true).iter().find_map(|it| it.strip_prefix("libllvm")?.parse().ok());
    let llvm = llvm.context("apt knows no package rustc-web with an LLVM: run `apt-get update` as root")?;
    let mut packages = ["cargo-web", "libstd-rust-web-dev-bpf", "rustc-web"].map(str::to_owned).to_vec();
    packages.extend(linker_packages(llvm));
    Ok(Plan { packages, llvm })
}

/// Returns the packages that `bpf-linker` is built with.
fn linker_packages(llvm: u32) -> Vec<String> {
    vec![
        "g++".to_owned(),
        "libzstd-dev".to_owned(),
        "zlib1g-dev".to_owned(),
        format!("libpolly-{llvm}-dev"),
        dev(llvm),
    ]
}

/// Returns the package of LLVM's development files.
fn dev(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

/// Builds the linker into cargo's own directory, unless there is a suitable one.
pub(crate) fn install_linker(llvm: u32) -> Result<()> {
    if linker(llvm).is_ok() {
        return Ok(());
    }
    let config = llvm_config(llvm).with_context(|| format!("there is no llvm-config of LLVM {llvm}"))?;
    let prefix = exec::output(Command::new(config).arg("--prefix"))?;
    let feature = format!("llvm-{llvm}");
    let mut install =
        exec::cargo(&["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    install.args(["--no-default-features", "--features", &feature]).env("LLVM_PREFIX", prefix.trim());
    eprintln!("setup: building bpf-linker with LLVM {llvm}");
    exec::run(&mut install)
}

/// Returns the `llvm-config` of this major version.
fn llvm_config(llvm: u32) -> Option<std::path::PathBuf> {
    let named = programs(&format!("llvm-config-{llvm}")).next();
    let is_wanted = |path: &Path| {
        let version = exec::output(Command::new(path).arg("--version")).unwrap_or_default();
        version.split('.').next() == Some(llvm.to_string().as_str())
    };
    named.or_else(|| programs("llvm-config").find(|path| is_wanted(path)))
}

/// Returns whether the compiler for BPF has its clippy.
pub(crate) fn has_clippy(compiler: Compiler) -> bool {
    match compiler {
        Compiler::Debian => Path::new("/usr/bin/cargo-clippy").exists(),
        Compiler::Nightly => {
            exec::output(Command::new("rustup").args(["run", "nightly", "cargo-clippy", "--version"])).is_ok()
        }
    }
}
