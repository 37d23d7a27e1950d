//! Builds the kernel module that stands in for the TOA module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::exec;

/// The module's sources, in `tests/toa-module`.
const SOURCES: [&str; 2] = ["Kbuild", "toa.c"];

/// Builds the module in `target/vm/module` with a kernel's headers, and returns its path.
pub(super) fn build(directory: &Path, headers: &Path) -> Result<PathBuf> {
    let directory = directory.join("module");
    fs::create_dir_all(&directory)?;
    for source in SOURCES {
        let from = Path::new("tests/toa-module").join(source);
        fs::copy(&from, directory.join(source)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let mut command = Command::new("make");
    command.arg("-sC").arg(headers).arg(format!("M={}", directory.display())).arg("modules");
    exec::output(&mut command).context("building the test module")?;
    Ok(directory.join("toa.ko"))
}
