//! The workspace and its target directory.

use std::{
    env,
    path::{self, PathBuf},
};

use anyhow::{Context as _, Result};

/// The workspace, which is the current directory.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The target directory.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace and makes it the current directory.
    pub(crate) fn enter() -> Result<Self> {
        let target = env::var_os("CARGO_TARGET_DIR").map(path::absolute).transpose()?;
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = PathBuf::from(manifest).join("..").canonicalize()?;
        env::set_current_dir(&root)?;
        Ok(Self { target: target.unwrap_or_else(|| root.join("target")) })
    }
}
