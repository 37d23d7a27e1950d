//! Responsible for everything that needs a kernel: loading and attaching the programs, and reading what they
//! stream and count. Not responsible for what it means.

pub mod attach;
pub mod clock;
pub mod counters;
pub mod host;
pub mod load;
pub mod log;
pub mod perf;
pub mod pins;
pub mod privileges;
pub mod reader;
pub mod watch;
