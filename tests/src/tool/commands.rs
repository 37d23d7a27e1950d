//! Runs the commands that inspect runs from outside, and parses their JSON.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    lab::netns::Namespace,
    tool::toa_tc::{self, NOTHING_FOUND, Output, ToaTc},
};

/// The wrapper that runs a command without privileges.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs a command, which must succeed, and returns its output.
pub fn succeed(namespace: &Namespace, arguments: &[&str]) -> Result<String> {
    Ok(ToaTc::run(namespace, arguments)?.succeeded().with_context(|| arguments.join(" "))?.stdout)
}

/// Runs a command, which must find nothing to show, and returns its output.
pub fn find_nothing(namespace: &Namespace, arguments: &[&str]) -> Result<Output> {
    let output = ToaTc::run(namespace, arguments)?;
    let code = output.status.code();
    ensure!(code == Some(NOTHING_FOUND), "{arguments:?}: {code:?}: {}{}", output.stdout, output.stderr);
    Ok(output)
}

/// Runs a command that prints one object, which may be that of nothing.
pub fn object(namespace: &Namespace, arguments: &[&str]) -> Result<Value> {
    let text = ToaTc::run(namespace, arguments)?.worked().with_context(|| arguments.join(" "))?.stdout;
    ensure!(text.lines().count() == 1, "not one line: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Runs a command that prints one object per line. There may be none.
pub fn objects(namespace: &Namespace, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = ToaTc::run(namespace, arguments)?.worked().with_context(|| arguments.join(" "))?.stdout;
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
