//! The code of toa-tc that the eBPF program, the user-space tool and the tests share.
//!
//! It parses packets (Ethernet to TCP options), finds the TOA option, decides which connections are followed, and
//! defines the layout of everything that crosses between kernel and user space. It uses no maps, clocks, sockets or
//! files: the callers look things up and write results.
//!
//! Addresses are IPv6 or IPv4-mapped (RFC 4291 section 2.5.5.2), as four `u32` words in network order. The suffix `_be`
//! marks other integers in network order. Integers without the suffix are in host order.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod address;
pub mod attribution;
pub mod body;
pub mod bypass;
pub mod config;
pub mod counters;
pub mod field;
pub mod flow;
pub mod flow_changes;
pub mod flow_key;
pub mod follow;
pub mod handshake;
pub mod inspect;
pub mod limits;
pub mod maps;
pub mod object;
pub mod plaintext;
#[cfg(feature = "user")]
mod pod;
pub mod record;
pub mod remembered;
pub mod rule;
pub mod rule_change;
pub mod run_activity;
pub mod run_info;
pub mod seq;
pub mod skip_reason;
pub mod socket;
pub mod tcp_packet;
pub mod verifier;
pub mod wire;
