//! Debian's packages: installs them as root, through sudo, or prints the commands to run.

use std::{
    fs,
    io::{IsTerminal as _, stdin},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use toa_embed::toolchain::programs;

use crate::exec::{self, is_root};

/// Environment of the packages' own scripts: no questions, and no service started. In runlevel 1, System V
/// starts none, and systemctl only changes files if it is told that systemd is not running.
const QUIET: [&str; 3] = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "SYSTEMD_OFFLINE=1"];

/// How this process may become root.
#[derive(Debug, PartialEq, Eq)]
enum Rights {
    /// It is root.
    Root,
    /// Through sudo.
    Sudo,
    /// It cannot.
    None,
}

/// Debian's package manager.
pub(crate) struct Apt {
    /// How this process may become root.
    rights: Rights,
    /// Whether the package lists were updated.
    fresh: bool,
    /// Commands that could not be run without root.
    pub(crate) by_hand: Vec<String>,
}

impl Apt {
    /// Determines how to become root, without changing anything.
    pub(crate) fn new() -> Result<Self> {
        let sudo = || {
            let asks_nothing = || exec::output(Command::new("sudo").args(["-n", "true"])).is_ok();
            programs("sudo").next().is_some() && (stdin().is_terminal() || asks_nothing())
        };
        let rights = match is_root()? {
            true => Rights::Root,
            false if sudo() => Rights::Sudo,
            false => Rights::None,
        };
        Ok(Self { rights, fresh: false, by_hand: Vec::new() })
    }

    /// Updates the package lists, once. On a new machine they are empty; old ones name packages that no
    /// longer exist.
    pub(crate) fn update(&mut self) -> Result<()> {
        if self.fresh {
            return Ok(());
        }
        self.fresh = true;
        self.as_root(&["update"])
    }

    /// Prints and installs packages.
    pub(crate) fn install(&mut self, mut packages: Vec<String>) -> Result<()> {
        packages.retain(|package| !is_installed(package));
        packages.sort();
        packages.dedup();
        if packages.is_empty() {
            return Ok(());
        }
        ensure!(is_debian(), "install by hand what these Debian packages have: {}", packages.join(" "));
        eprintln!("setup: packages to install: {}", packages.join(" "));
        let nginx_ran = runs("nginx");
        self.update()?;
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages.iter().map(String::as_str));
        self.as_root(&arguments)?;
        if runs("nginx") && !nginx_ran {
            eprintln!("setup: nginx's package has started nginx; `systemctl disable --now nginx` stops it");
        } else if packages.iter().any(|it| it == "nginx-light") && Path::new("/run/systemd/system").exists() {
            eprintln!(
                "setup: nginx is installed and not started; `systemctl disable nginx` keeps it so at the next boot"
            );
        }
        Ok(())
    }

    /// Runs apt-get as root, or records the command.
    fn as_root(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(if self.rights == Rights::Sudo { "sudo" } else { "env" });
        if self.rights == Rights::Sudo {
            command.arg("env");
        }
        command.args(QUIET).args(["apt-get", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
        if self.rights == Rights::None {
            self.by_hand.push(format!("apt-get {}", arguments.join(" ")));
            return Ok(());
        }
        exec::run(&mut command)
    }
}

/// Returns whether packages come from Debian itself; its derivatives lack `rustc-web`.
pub(crate) fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian") && programs("apt-get").next().is_some()
}

/// Returns whether a package is installed.
pub(crate) fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat=${db:Status-Status}", package];
    exec::output(Command::new("dpkg-query").args(query)).is_ok_and(|status| status == "installed")
}

/// Returns the packages that `package` depends on: directly, or with `recurse` also indirectly.
pub(crate) fn depends(package: &str, recurse: bool) -> Vec<String> {
    let mut command = Command::new("apt-cache");
    command.args(["depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]);
    command.args(["--no-replaces", "--no-enhances"]).args(recurse.then_some("--recurse")).arg(package);
    parse_depends(&exec::output(&mut command).unwrap_or_default())
}

/// Parses the names in the output of `apt-cache depends`.
pub(super) fn parse_depends(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.trim_start_matches(['|', ' ']).strip_prefix("Depends: "));
    names.map(str::to_owned).collect()
}

/// Returns where this machine's own apt finds a suite of Debian 12.
pub(crate) fn mirror(suite: &str) -> Result<String> {
    let codename = format!("Codename: {suite}");
    let arguments = ["indextargets", "--format", "$(REPO_URI)", &codename, "Created-By: Packages"];
    let uris = exec::output(Command::new("apt-get").args(arguments))?;
    let mirror =
        uris.lines().next().with_context(|| format!("apt knows no {suite}: run `apt-get update` as root"))?;
    Ok(mirror.trim_end_matches('/').to_owned())
}

/// Returns whether a process of this name is running.
fn runs(name: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|it| it.path().join("comm"))
        .any(|it| fs::read_to_string(it).is_ok_and(|comm| comm.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n |Depends: a\n  PreDepends: b\n";
        assert_eq!(parse_depends(text), ["linux-image-6.1.0-56-cloud-amd64", "a"]);
        assert!(parse_depends("").is_empty());
    }
}
