//! What is distributed beside the binary: man pages, completions, licences, the unit.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::paths::{Paths, recreate};
use crate::{build, exec};

/// Shells, each with the name of its file of completions.
const SHELLS: [(&str, &str); 3] = [("bash", "toa-tc"), ("zsh", "_toa-tc"), ("fish", "toa-tc.fish")];

/// Files of the workspace that are distributed as they are.
const FILES: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The unit, and its paths in an installation by hand and in a package.
const UNIT: &str = "toa-userspace/systemd/toa-tc@.service";
const BY_HAND: &str = "/usr/local/bin/toa-tc";
const PACKAGED: &str = "/usr/bin/toa-tc";

/// Who a changelog of Debian names. It is also the package's maintainer.
const MAINTAINER: &str = "toa-tc developers <toa-tc@localhost>";

/// Lets the binary for `target`, which is this machine's, write its man pages and completions.
pub(super) fn generate(paths: &Paths, target: &str) -> Result<()> {
    let directory = generated(paths);
    recreate(&directory)?;
    let tool = paths.stage(target).join(build::TOOL);
    for name in ["man", "completions"] {
        fs::create_dir(directory.join(name))?;
    }
    exec::run(Command::new(&tool).arg("man").arg(directory.join("man")))?;
    for (shell, name) in SHELLS {
        let text = exec::output(Command::new(&tool).args(["completions", shell]))?;
        fs::create_dir(directory.join("completions").join(shell))?;
        fs::write(directory.join("completions").join(shell).join(name), text)?;
    }
    Ok(())
}

/// Collects the files of a target: those of the archive in `tree`, those of packages beside it.
pub(super) fn stage(paths: &Paths, target: &str) -> Result<()> {
    let stage = paths.stage(target);
    let tree = stage.join("tree");
    fs::create_dir(&tree)?;
    for name in FILES {
        copy(Path::new(name), &tree.join(name))?;
    }
    copy(&stage.join(build::TOOL), &tree.join(build::TOOL))?;
    copy(Path::new(UNIT), &tree.join("toa-tc@.service"))?;
    for to in [&tree, &stage] {
        exec::run(Command::new("cp").arg("-R").arg(generated(paths).join(".")).arg(to))?;
    }
    let unit = fs::read_to_string(UNIT)?.replace(BY_HAND, PACKAGED);
    fs::write(stage.join("toa-tc@.service"), unit)?;
    let changelog = stage.join("changelog.Debian");
    fs::write(&changelog, debian_changelog(paths)?)?;
    copy(Path::new("CHANGELOG.md"), &stage.join("changelog"))?;
    // Debian wants these compressed.
    let mut gzip = Command::new("gzip");
    gzip.args(["--no-name", "-9", "--recursive"])
        .arg(changelog)
        .arg(stage.join("changelog"))
        .arg(stage.join("man"));
    exec::run(&mut gzip)?;
    Ok(())
}

/// Returns a Containerfile, which needs the archives beside it.
pub(super) fn containerfile(version: &str) -> String {
    format!(
        "# An image with nothing but toa-tc. It needs the host's network and the rights to load eBPF programs:\n\
         #     docker build -f Containerfile -t toa-tc .\n\
         #     docker run --rm --network host --privileged -v /sys/fs/bpf:/sys/fs/bpf toa-tc doctor\n\
         FROM scratch AS archive\n\
         ARG ARCH=x86_64\n\
         ADD toa-tc-{version}-$ARCH.tar.gz /\n\
         FROM scratch\n\
         ARG ARCH=x86_64\n\
         COPY --from=archive /toa-tc-{version}-$ARCH/toa-tc /toa-tc\n\
         ENTRYPOINT [\"/toa-tc\"]\n"
    )
}

/// Returns where man pages and completions are generated.
fn generated(paths: &Paths) -> std::path::PathBuf {
    paths.target.join("dist-documents")
}

/// Returns a changelog in Debian's format, which names that of the project.
fn debian_changelog(paths: &Paths) -> Result<String> {
    let date = exec::output(
        Command::new("date")
            .args(["--utc", "--rfc-email", &format!("--date=@{}", paths.epoch)])
            .env("LC_ALL", "C"),
    )?;
    Ok(format!(
        "toa-tc ({}-1) unstable; urgency=medium\n\n  * What has changed is in CHANGELOG.md.\n\n -- {MAINTAINER}  {}\n",
        paths.version,
        date.trim()
    ))
}

/// Copies a file.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
