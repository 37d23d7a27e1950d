//! What the threads of a process may do, as the kernel shows it.

use std::fs;

use anyhow::{Context as _, Result};

/// The rights of a thread.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThreadRights {
    /// The thread's name.
    pub name: String,
    /// Its capabilities: effective, permitted, inheritable and ambient ones together.
    pub capabilities: u64,
    /// Whether programs that it executes get no more rights.
    pub no_new_privs: bool,
    /// The mode of seccomp: 2 is a filter.
    pub seccomp: u32,
}

/// Returns the rights of each thread of a process.
pub fn of(process: u32) -> Result<Vec<ThreadRights>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        if let Ok(status) = fs::read_to_string(thread?.path().join("status")) {
            threads.push(parse(&status).with_context(|| status.clone())?);
        }
    }
    Ok(threads)
}

fn parse(status: &str) -> Result<ThreadRights> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).context(name.to_owned())
    };
    let mut capabilities = 0;
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        capabilities |= u64::from_str_radix(field(set)?, 16)?;
    }
    Ok(ThreadRights {
        name: field("Name")?.to_owned(),
        capabilities,
        no_new_privs: field("NoNewPrivs")? == "1",
        seccomp: field("Seccomp")?.parse()?,
    })
}
