//! Responsible for the maps of the program, one file each. Not responsible for what fills them.

pub mod balancers;
pub mod counters;
pub mod flows;
pub mod orders;
pub mod watch;
