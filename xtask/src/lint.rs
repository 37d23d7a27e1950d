//! Checks what a reviewer should not have to look for: format, lints, documentation, house rules.

mod imports;
mod oldest;

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};

use toa_embed::toolchain::Toolchain;

use crate::{exec, setup::deny, workspace::Workspace};

/// Maximum length of a Rust file in lines.
const MAX_LINES: usize = 400;

/// Markers of unfinished work, each in two parts so that this file is not reported.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("todo", "!")];

/// Packages that compile only for BPF. They cannot be checked for the host, where their panic handlers would
/// define the same symbols as the standard library's.
const BPF_ONLY: [&str; 2] = ["toa-ebpf", "toa-lab-ebpf"];

/// What cargo-deny checks. `deny.toml` says why these are not all.
const DENY: [&str; 6] = ["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];

/// Runs every check, even after one has failed, so that one run shows all problems.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let toolchain =
        Toolchain::find().map_err(anyhow::Error::msg).context("run `cargo xtask setup --tests`")?;
    let bpf = |subcommand: &str, packages: &[&str]| {
        let mut command = toolchain.cargo(subcommand, &workspace.target.join("bpf"));
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command
    };
    let document = ["--no-deps", "--document-private-items"];
    let deny = ["--", "-D", "warnings"];
    let with_common = [BPF_ONLY.as_slice(), &["toa-common"]].concat();

    let checks = [
        ("format", exec::run(&mut exec::cargo(&["fmt", "--all", "--check"]))),
        (
            "clippy",
            exec::run(exec::cargo(&["clippy", "--locked", "--all-targets", "--all-features"]).args(deny)),
        ),
        ("clippy for BPF", run_bpf(bpf("clippy", &with_common).args(deny))),
        (
            "documentation",
            exec::run(
                exec::cargo(&["doc", "--locked", "--all-features"])
                    .args(document)
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
        ),
        (
            "documentation for BPF",
            run_bpf(bpf("doc", &BPF_ONLY).args(document).env("RUSTDOCFLAGS", "-D warnings")),
        ),
        ("oldest Rust", oldest::check(workspace, &toolchain)),
        ("dependencies", exec::run(deny::command(workspace).args(DENY))),
        ("house rules", house_rules()),
    ];

    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = check {
            eprintln!("lint: {name}: {error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "lint: failed: {}", failed.join(", "));
    println!("lint: passed");
    Ok(ExitCode::SUCCESS)
}

/// Runs a command of the BPF toolchain. Its environment is too long to print.
fn run_bpf(command: &mut Command) -> Result<()> {
    let words = command.get_args().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("+ [BPF toolchain] {words}");
    ensure!(command.status()?.success(), "cargo failed");
    Ok(())
}

/// Checks every Rust file that git tracks or would add.
fn house_rules() -> Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let files = exec::output(Command::new("git").args(list)).context("the house rules need git")?;
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).filter(|path| path.exists()).collect();
    let mut broken = imports::complaints(&files)?;
    for path in &files {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        broken.extend(complaints(&text).into_iter().map(|it| format!("{}{it}", path.display())));
    }
    if broken.is_empty() { Ok(()) } else { bail!("\n{}", broken.join("\n")) }
}

/// Returns the problems of one file.
fn complaints(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let long = (lines > MAX_LINES).then(|| format!(": {lines} lines, more than {MAX_LINES}"));
    let marked = |(number, line): (usize, &str)| {
        let mark = UNFINISHED.into_iter().find(|mark| line.contains(mark))?;
        Some(format!(":{}: {mark}", number + 1))
    };
    long.into_iter().chain(text.lines().enumerate().filter_map(marked)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_unfinished_work_are_found() {
        assert!(complaints(&"line\n".repeat(MAX_LINES)).is_empty());
        let long = "line\n".repeat(MAX_LINES + 1);
        assert_eq!(complaints(&long), [": 401 lines, more than 400"]);
        let mark = UNFINISHED[0];
        assert_eq!(complaints(&format!("fn a() {{}}\n// {mark}: b\n")), [format!(":2: {mark}")]);
    }
}
