//! Why something could not be given up.

use thiserror::Error;

/// Why something could not be given up.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Capabilities.
    #[error("cannot drop capabilities")]
    Capabilities(#[source] caps::errors::CapsError),
    /// Privileges of programs that are executed.
    #[error("cannot set no_new_privs")]
    NoNewPrivileges(#[source] rustix::io::Errno),
    /// Files.
    #[error("cannot restrict files by Landlock")]
    Files(#[source] landlock::RulesetError),
    /// Files, because this kernel has no Landlock.
    #[error("this kernel has no Landlock, or does not use it")]
    NoLandlock,
    /// System calls.
    #[error("cannot restrict system calls by seccomp")]
    SystemCalls(#[source] seccompiler::Error),
}
