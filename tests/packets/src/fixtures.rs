//! Packets together with the results that are expected of them.

pub mod flows;
pub mod headers;
pub mod opening;
pub mod random;
pub mod strategies;
pub mod vectors;
