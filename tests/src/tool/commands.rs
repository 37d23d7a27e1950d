//! Runs the commands that inspect runs from outside, and parses their JSON.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    lab::netns::Namespace,
    tool::toa_tc::{self, Output, ToaTc},
};

/// The wrapper that runs a command without privileges.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs a command, which must succeed, and returns its output.
pub fn succeed(namespace: &Namespace, arguments: &[&str]) -> Result<String> {
    Ok(ToaTc::run(namespace, arguments)?.succeeded().with_context(|| arguments.join(" "))?.stdout)
}

/// Runs a command that prints one object.
pub fn object(namespace: &Namespace, arguments: &[&str]) -> Result<Value> {
    let text = succeed(namespace, arguments)?;
    ensure!(text.lines().count() == 1, "not one line: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Runs a command that prints one object per line.
pub fn objects(namespace: &Namespace, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = succeed(namespace, arguments)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Runs a command as an unprivileged user.
pub fn as_nobody(namespace: &Namespace, arguments: &[&str]) -> Result<Output> {
    // A copy where every user can reach it.
    let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = directory.path().join("toa-tc");
    // Copied by another process: if a child of another test inherited our writable descriptor, the copy could
    // not be run.
    let copied = std::process::Command::new("cp").arg(toa_tc::binary()?).arg(&copy).status()?;
    ensure!(copied.success(), "cannot copy the tool");
    ToaTc::run_through(namespace, &NOBODY, &copy, arguments)
}
