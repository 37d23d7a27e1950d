//! This host: its clocks, interfaces, namespaces and sockets, and our capabilities and signals.

pub mod clock;
pub mod interfaces;
pub mod namespace;
pub mod privileges;
pub mod signal;
pub mod sock_diag;
pub mod tcp;
