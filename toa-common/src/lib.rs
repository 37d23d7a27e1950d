//! The part of toa-tc that its three hosts share: the eBPF program, the user-space tool and the tests.
//!
//! Responsible for reading packets (Ethernet to TCP options), for the TOA option, for the decision which
//! connections are followed, and for the layout of everything that crosses between kernel and user space.
//! Not responsible for maps, clocks, sockets or files: a host looks things up and writes things down.
//!
//! Addresses are IPv6, IPv4 ones mapped (RFC 4291 section 2.5.5.2), as four `u32` words in network order;
//! the suffix `_be` marks other network-order integers. Unsuffixed integers are in host order.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod address;
pub mod attribution;
pub mod bypass;
pub mod config;
pub mod counters;
pub mod field;
pub mod flow;
pub mod flow_key;
pub mod follow;
pub mod inspect;
pub mod limits;
pub mod maps;
#[cfg(feature = "user")]
mod pod;
pub mod record;
pub mod rule;
pub mod run_info;
pub mod seq;
pub mod skip_reason;
pub mod tcp_packet;
pub mod verifier;
pub mod wire;
