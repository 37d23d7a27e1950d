//! This host: its clocks, interfaces, namespaces and sockets, and our capabilities.

pub mod clock;
pub mod interfaces;
pub mod namespace;
pub mod privileges;
pub mod sock_diag;
