//! Parsing of packet headers and TCP options, one file per protocol.

pub mod ethernet;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
mod ipv6_extension;
pub mod tcp;
pub mod tcp_option;
pub mod toa;
pub mod toa_pairs;
pub mod view;
