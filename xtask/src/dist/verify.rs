//! Tries the files of a release where no compiler is: `verify.sh` says how.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use toa_embed::ready;

use super::{
    binary,
    paths::{Paths, recreate},
};
use crate::{
    build, exec,
    setup::{
        self,
        dist::{FOREIGN, NATIVE},
    },
};

/// What runs in a mount namespace of its own.
const SCRIPT: &str = include_str!("verify.sh");

/// Tries the package and the static binary of this machine's architecture. Nothing of it stays, also on a failure.
pub(super) fn run(paths: &Paths) -> Result<()> {
    ensure!(exec::is_root()?, "trying the package needs root");
    let objects = binary::directory(paths);
    let build = |arguments: &[&str]| {
        exec::run(exec::cargo(&["build", "--locked"]).args(arguments).env(ready::VARIABLE, &objects))
    };
    build(&["--bin", "toa-demo"])?;
    build(&["--release", "--package", build::TOOL, "--bin", build::TOOL])?;
    let directory = paths.target.join("dist-verify");
    recreate(&directory)?;
    // The same without line tables, as the static one is.
    let other = directory.join(build::TOOL);
    binary::strip(&paths.target.join("release").join(build::TOOL), &other)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-c", SCRIPT, "verify.sh"]);
    command.arg(&directory).arg(setup::apt::mirror("bookworm")?).arg(package(&paths.output)?);
    command.arg(paths.stage(NATIVE).join(build::TOOL)).arg(other);
    command.arg(paths.target.join("debug/toa-demo")).arg(paths.stage(FOREIGN).join(build::TOOL));
    let status = command.status().context("cannot run unshare")?;
    // The mounts have ended with the namespace, so that only files of the roots are removed.
    fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    ensure!(status.success(), "the release does not work as it must: see the last lines above");
    println!("verify: passed");
    Ok(())
}

/// Returns the Debian package for this machine.
fn package(output: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(output)?.flatten().map(|it| it.path());
    let is_package = |path: &PathBuf| path.to_string_lossy().ends_with("_amd64.deb");
    files.into_iter().find(is_package).context("there is no package for amd64")
}
