//! This host: its clocks, interfaces, namespaces and sockets, and our capabilities and signals.

pub mod addresses;
pub mod btf;
pub mod cgroup;
pub mod clock;
pub mod interfaces;
pub mod links;
pub mod memory;
pub mod namespace;
pub mod priority;
pub mod privileges;
pub(crate) mod route;
pub mod sandbox;
pub mod signal;
pub mod sock_diag;
pub mod tcp;
pub mod tunnel_devices;
pub mod unknown_interface;
pub mod users;
pub mod workload;
