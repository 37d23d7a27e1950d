//! Responsible for packets and what must be found in them. Not responsible for finding it.

pub mod flows;
pub mod headers;
pub mod opening;
pub mod random;
pub mod strategies;
pub mod vectors;
