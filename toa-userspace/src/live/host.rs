//! Responsible for what this host is: clocks, interfaces, namespaces, sockets, and our rights on it.

pub mod clock;
pub mod interfaces;
pub mod namespace;
pub mod privileges;
pub mod sock_diag;
