//! Archives whose bytes depend on their contents alone.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::paths::Paths;
use crate::exec;

/// Packs a folder as `NAME.tar.gz`, in which it is called `NAME`.
pub(super) fn pack(paths: &Paths, name: &str, directory: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u+rw,go+r,go-w", &format!("--mtime=@{}", paths.epoch)]);
    tar.arg(format!("--transform=s,^[.],{name},")).arg("--directory").arg(directory).arg(".");
    exec::echo(&tar);
    let mut child = tar.stdout(Stdio::piped()).spawn().context("cannot run tar")?;
    let contents = child.stdout.take().context("tar has no output")?;
    gzip(contents.into(), &paths.output.join(format!("{name}.tar.gz")))?;
    ensure!(child.wait()?.success(), "tar failed");
    Ok(())
}

/// Compresses a file.
pub(super) fn compress(paths: &Paths, file: &Path, name: &str) -> Result<()> {
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    gzip(input.into(), &paths.output.join(name))
}

/// Compresses what is read from `input`, without a name and time.
fn gzip(input: Stdio, to: &PathBuf) -> Result<()> {
    let output = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    let status = Command::new("gzip").args(["--no-name", "-9"]).stdin(input).stdout(output).status()?;
    ensure!(status.success(), "gzip failed");
    Ok(())
}
