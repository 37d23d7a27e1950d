//! Responsible for the maps of the program, one file each. Not responsible for what fills them.

pub mod balancers;
pub mod bypass;
pub mod counters;
pub mod flows;
pub mod watch;
