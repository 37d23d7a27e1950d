//! Where `cargo xtask dist` reads and writes, and what the binaries say instead of these paths.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{exec, workspace::Workspace};

/// The folders of a run, and what all of its files share.
#[derive(Debug)]
pub(crate) struct Paths {
    /// The folder of the results.
    pub(crate) output: PathBuf,
    /// The target directory.
    pub(crate) target: PathBuf,
    /// Seconds since 1970.
    pub(crate) epoch: String,
    /// The version of the tool.
    pub(crate) version: String,
    /// The workspace.
    root: PathBuf,
    /// Where cargo keeps the sources of dependencies.
    cargo_home: PathBuf,
}

impl Paths {
    /// Finds the folders.
    pub(super) fn new(workspace: &Workspace, output: PathBuf, epoch: String) -> Result<Self> {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        Ok(Self {
            output,
            target: workspace.target.clone(),
            epoch,
            version: version()?,
            root: env::current_dir()?,
            cargo_home: cargo_home.context("neither CARGO_HOME nor HOME is set")?,
        })
    }

    /// Returns the folder in which files for a target are collected. The package's metadata names it
    /// `target/release/dist`.
    pub(crate) fn stage(&self, target: &str) -> PathBuf {
        self.target.join(target).join("release/dist")
    }

    /// Returns the flags that replace paths of this machine in binaries. `sysroot` is the compiler's, whose sources may be
    /// compiled, too.
    pub(super) fn remap(&self, sysroot: &Path) -> Vec<String> {
        // The last that matches applies: the target directory need not be in the workspace.
        let sysroot = sysroot.to_owned();
        let names = [
            (&self.root, "/toa-tc"),
            (&self.cargo_home, "/cargo"),
            (&sysroot, "/rust"),
            (&self.target, "/toa-tc/target"),
        ];
        names.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).to_vec()
    }

    /// Replaces the workspace's path in a text.
    pub(super) fn without_root(&self, text: &str) -> String {
        text.replace(&self.root.display().to_string(), "/toa-tc")
    }
}

/// Returns the architecture in the name of a target.
pub(crate) fn arch(target: &str) -> &str {
    target.split('-').next().unwrap_or(target)
}

/// Returns the version of the tool.
fn version() -> Result<String> {
    let id = exec::output(
        exec::cargo(&["pkgid", "--package", crate::build::TOOL]).stderr(std::process::Stdio::null()),
    )?;
    let version = id.trim().rsplit(['#', '@']).next().context("cargo tells no version")?;
    Ok(version.to_owned())
}

/// Returns a command with the time of every file.
pub(super) fn at(epoch: &str, mut command: Command) -> Command {
    command.env("SOURCE_DATE_EPOCH", epoch);
    command
}

/// Empties a folder.
pub(super) fn recreate(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}
