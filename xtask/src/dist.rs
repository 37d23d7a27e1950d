//! Makes everything that a release consists of, in one folder. Nothing of this machine is to be in the files: paths are
//! remapped, and times are those of the last commit.

mod archive;
mod binary;
mod documents;
mod packages;
pub(crate) mod paths;
mod verify;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    exec,
    setup::{
        self, Scope,
        dist::{NATIVE, TARGETS},
    },
    workspace::Workspace,
};

use paths::{Paths, recreate};

/// Options of `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Make them in this folder, which is emptied [default: dist in the target directory]
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    output: Option<PathBuf>,
    /// Then install, try and purge the package in a fresh Debian 12, and run the static binary in roots that have nothing
    /// else (as root)
    #[arg(long)]
    verify: bool,
}

/// Makes a path independent of the current directory, which will be the workspace.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

/// Installs what is missing, makes the files, and prints their sizes.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let installed = setup::provide(workspace, Scope::Dist)?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }
    let start = Instant::now();
    let output = options.output.clone().unwrap_or_else(|| workspace.target.join("dist"));
    let paths = Paths::new(workspace, output, epoch()?)?;
    make(&paths)?;
    print(&paths.output)?;
    println!("dist: {} in {:.0} s", paths.output.display(), start.elapsed().as_secs_f64());
    if options.verify {
        verify::run(&paths)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the files.
fn make(paths: &Paths) -> Result<()> {
    recreate(&paths.output)?;
    let objects = binary::objects(paths)?;
    archive::pack(paths, &format!("toa-tc-{}-bpf", paths.version), &objects)?;
    for target in TARGETS {
        let debug = binary::build(paths, target, &objects)?;
        archive::compress(
            paths,
            &debug,
            &format!("toa-tc-{}-{}.debug.gz", paths.version, paths::arch(target)),
        )?;
        if target == NATIVE {
            documents::generate(paths, target)?;
        }
        documents::stage(paths, target)?;
        archive::pack(
            paths,
            &format!("toa-tc-{}-{}", paths.version, paths::arch(target)),
            &paths.stage(target).join("tree"),
        )?;
        packages::make(paths, target)?;
    }
    packages::bill_of_materials(paths)?;
    fs::write(paths.output.join("Containerfile"), documents::containerfile(&paths.version))?;
    sums(&paths.output)
}

/// Returns the time of every file: `SOURCE_DATE_EPOCH`, or when the last commit was made.
fn epoch() -> Result<String> {
    if let Ok(epoch) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let time = exec::output(Command::new("git").args(["log", "-1", "--format=%ct"]));
    Ok(time.context("set SOURCE_DATE_EPOCH where there is no git")?.trim().to_owned())
}

/// Writes `SHA256SUMS`.
fn sums(output: &Path) -> Result<()> {
    let names = names(output)?;
    let sums = exec::output(Command::new("sha256sum").args(&names).current_dir(output))?;
    fs::write(output.join("SHA256SUMS"), sums)?;
    Ok(())
}

/// Prints the sizes of the files.
fn print(output: &Path) -> Result<()> {
    for name in names(output)? {
        println!("{:>10} {name}", fs::metadata(output.join(&name))?.len());
    }
    Ok(())
}

/// Returns the names of the files in a folder, sorted.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
