//! Debian and RPM packages, from the metadata in the tool's manifest, and the list of its dependencies.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::paths::{Paths, arch, at};
use crate::{build, exec, setup::dist::NATIVE};

/// The tool's folder.
const PACKAGE: &str = "toa-userspace";

/// Makes both packages from the collected files.
pub(super) fn make(paths: &Paths, target: &str) -> Result<()> {
    let mut deb = exec::cargo(&["deb", "--no-build", "--no-strip", "--package", build::TOOL]);
    deb.args(["--target", target, "--output"]).arg(&paths.output).env("CARGO_TARGET_DIR", &paths.target);
    exec::run(&mut at(&paths.epoch, deb))?;
    let mut rpm = exec::cargo(&["generate-rpm", "--package", PACKAGE, "--target", target]);
    rpm.args(["--source-date", &paths.epoch, "--target-dir"]).arg(&paths.target);
    rpm.arg("--output").arg(&paths.output);
    exec::run(&mut at(&paths.epoch, rpm))
}

/// Writes the dependencies of the tool in the format of `CycloneDX`. They are the same for all architectures.
pub(super) fn bill_of_materials(paths: &Paths) -> Result<()> {
    let name = format!("toa-tc-{}.cdx", paths.version);
    let manifest = Path::new(PACKAGE).join("Cargo.toml");
    let mut command =
        exec::cargo(&["cyclonedx", "--format", "json", "--spec-version", "1.5", "--manifest-path"]);
    command.arg(manifest).args(["--target", NATIVE, "--override-filename", &name]);
    exec::run(&mut at(&paths.epoch, command))
        .with_context(|| format!("the dependencies for {}", arch(NATIVE)))?;
    // It is written beside the manifest, has the paths of the workspace's own packages, and comes with one for each of
    // these.
    let file = format!("{name}.json");
    let written = Path::new(PACKAGE).join(&file);
    let text = fs::read_to_string(&written).with_context(|| format!("cannot read {}", written.display()))?;
    exec::run(Command::new("find").args([".", "-name", &file, "-not", "-path", "./target/*", "-delete"]))?;
    fs::write(paths.output.join(file), paths.without_root(&text))?;
    Ok(())
}
