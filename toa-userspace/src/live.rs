//! Responsible for everything that needs a kernel: loading and attaching the programs, and reading what they
//! stream and count. Not responsible for what it means.

pub mod attach;
pub mod balancers;
pub mod chain;
pub mod clock;
pub mod counters;
pub mod doctor;
pub mod existing;
pub mod flows;
pub mod host;
pub mod load;
pub mod log;
pub mod orders;
pub mod perf;
pub mod pins;
pub mod privileges;
pub mod process;
pub mod reader;
pub mod runs;
pub mod sock_diag;
pub mod watch;
