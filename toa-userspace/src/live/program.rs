//! Responsible for the program in the kernel: loading it, attaching it, its log, and what runs beside it.

pub mod attach;
pub mod chain;
pub mod load;
pub mod log;
