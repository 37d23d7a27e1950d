//! Further kernels of Debian, for `cargo xtask vm --kernels`: unpacked when they are asked for, from the suite that has them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{find, unpack};
use crate::{exec, setup::apt, workspace::Workspace};

/// A kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Its series.
    pub(crate) series: &'static str,
    /// Depends on the current kernel package.
    metapackage: &'static str,
    /// The suite, unless it is the machine's own: one of Debian 12 that comes from the same place, and its name.
    suite: Option<[&'static str; 2]>,
}

/// The kernels, beside the one of `setup`.
pub(crate) const KERNELS: [Kernel; 3] = [
    Kernel {
        series: "5.10",
        metapackage: "linux-image-cloud-amd64",
        suite: Some(["bookworm-security", "bullseye-security"]),
    },
    Kernel { series: "6.12", metapackage: "linux-image-6.12-cloud-amd64", suite: None },
    Kernel {
        series: "newest",
        metapackage: "linux-image-cloud-amd64",
        suite: Some(["bookworm", "trixie-backports"]),
    },
];

impl Kernel {
    /// Returns the directory that the kernel is unpacked into, after that if it has not been yet.
    pub(crate) fn provide(self, workspace: &Workspace) -> Result<PathBuf> {
        let directory = workspace.target.join("vm").join(self.series);
        if find(&directory)?.is_some() {
            return Ok(directory);
        }
        fs::create_dir_all(&directory)?;
        let options = match self.suite {
            Some([like, suite]) => lists(&directory, &apt::mirror(like)?, suite)?,
            None => Vec::new(),
        };
        let depends = |package: &str, prefixes: &[&str]| -> Result<Vec<String>> {
            let depends = exec::output(Command::new("apt-cache").args(&options).args(["depends", package]))?;
            let mut packages = apt::parse_depends(&depends);
            packages.retain(|package| prefixes.iter().any(|prefix| package.starts_with(prefix)));
            Ok(packages)
        };
        let images = depends(self.metapackage, &["linux-image-"])?;
        let image = images.first().with_context(|| format!("apt knows no {}", self.metapackage))?;
        unpack(&directory, image, &options)?;
        // Since 7.x, an image is made of several packages.
        for part in depends(image, &["linux-binary-", "linux-modules-"])? {
            unpack(&directory, &part, &options)?;
        }
        Ok(directory)
    }
}

/// Fetches the package lists of another suite. Returns the options with which apt uses them, and nothing else of this
/// machine's.
fn lists(directory: &Path, mirror: &str, suite: &str) -> Result<Vec<String>> {
    let apt = directory.join("apt");
    for name in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(apt.join(name))?;
    }
    let source =
        format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n");
    fs::write(apt.join("sources.list"), source)?;
    let set = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
    let path = |name: &str| apt.join(name).display().to_string();
    let options = [
        set("Dir::Etc::sourcelist", &path("sources.list")),
        set("Dir::Etc::sourceparts", "/dev/null"),
        set("Dir::State", &path("")),
        set("Dir::State::status", "/dev/null"),
        set("Dir::Cache", &path("")),
        set("APT::Sandbox::User", "root"),
    ]
    .concat();
    exec::run(Command::new("apt-get").args(&options).arg("update"))?;
    Ok(options)
}
