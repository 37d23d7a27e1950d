//! The program in the kernel: loading it, attaching it, its log, and the other programs at its hook.

pub mod attach;
pub mod attachments;
pub mod chain;
pub mod filters;
pub mod leftovers;
pub mod load;
pub mod log;
mod mark;
pub mod own_cost;
mod own_filter;
