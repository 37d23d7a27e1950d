//! The program in the kernel: loading it, attaching it, its log, and the other programs at its hook.

pub mod attach;
pub mod chain;
pub mod load;
pub mod log;
