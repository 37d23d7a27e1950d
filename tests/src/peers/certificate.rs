//! Certificates that nobody trusts.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Makes `certificate.pem` and `key.pem` in a directory.
pub(super) fn make(directory: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=lab", "-out"])
        .arg(directory.join("certificate.pem"))
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .output()
        .context("starting openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
