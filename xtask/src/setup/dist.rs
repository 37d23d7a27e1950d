//! What `cargo xtask dist` needs beside a compiler: cargo's subcommands that make packages, and the standard library for
//! each target.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::exec;

/// The target whose binary this machine can run.
pub(crate) const NATIVE: &str = "x86_64-unknown-linux-musl";

/// The target whose binary this machine can run only by emulation.
pub(crate) const FOREIGN: &str = "aarch64-unknown-linux-musl";

/// The targets that are distributed: static binaries, which run on every distribution.
pub(crate) const TARGETS: [&str; 2] = [NATIVE, FOREIGN];

/// Cargo's subcommands, each with the crate that contains it and its version.
const TOOLS: [(&str, &str, &str); 3] = [
    ("deb", "cargo-deb", "3.8.0"),
    ("generate-rpm", "cargo-generate-rpm", "0.21.1"),
    ("cyclonedx", "cargo-cyclonedx", "0.5.9"),
];

/// What is missing.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Missing {
    /// Entries of [`TOOLS`].
    tools: Vec<(&'static str, &'static str, &'static str)>,
    /// Entries of [`TARGETS`].
    targets: Vec<&'static str>,
}

impl Missing {
    /// Looks for everything.
    pub(crate) fn look() -> Result<Self> {
        let has = |name: &str| exec::output(&mut exec::cargo(&[name, "--help"])).is_ok();
        Ok(Self {
            tools: TOOLS.into_iter().filter(|(name, ..)| !has(name)).collect(),
            targets: missing_targets()?,
        })
    }

    /// Returns whether nothing is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.targets.is_empty()
    }

    /// Returns one line for each missing item.
    pub(crate) fn lines(&self) -> Vec<String> {
        let tools = self.tools.iter().map(|(name, ..)| format!("cargo {name}"));
        tools.chain(self.targets.iter().map(|it| format!("the standard library for {it}"))).collect()
    }

    /// Installs it.
    pub(crate) fn install(&self) -> Result<()> {
        if !self.targets.is_empty() {
            let mut command = Command::new("rustup");
            exec::run(command.args(["target", "add"]).args(&self.targets))
                .context("the targets need a toolchain of rustup")?;
        }
        for (_, package, version) in &self.tools {
            exec::run(&mut exec::cargo(&["install", package, "--version", version, "--locked"]))?;
        }
        Ok(())
    }
}

/// Returns the targets whose standard library the user's compiler does not have.
fn missing_targets() -> Result<Vec<&'static str>> {
    let sysroot = exec::sysroot()?;
    let library = |target: &&str| sysroot.join("lib/rustlib").join(target).join("lib").exists();
    Ok(TARGETS.into_iter().filter(|target| !library(target)).collect())
}
