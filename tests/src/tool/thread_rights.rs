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
    /// Its nice value: from -20, the highest priority, to 19.
    pub nice: i32,
}

/// Returns the rights of each thread of a process.
pub fn of(process: u32) -> Result<Vec<ThreadRights>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let path = thread?.path();
        let read = |name: &str| fs::read_to_string(path.join(name));
        if let (Ok(status), Ok(stat)) = (read("status"), read("stat")) {
            threads.push(parse(&status, &stat).with_context(|| status.clone())?);
        }
    }
    Ok(threads)
}

fn parse(status: &str, stat: &str) -> Result<ThreadRights> {
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
        // The name, which may have spaces, is in parentheses. The 19th field is the 17th after it.
        nice: stat.rsplit(')').next().and_then(|it| it.split(' ').nth(17)).context("nice")?.parse()?,
    })
}
