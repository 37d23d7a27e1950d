//! Runs the tool, reads what it prints, and computes what it should print.

pub mod attached;
pub mod commands;
pub mod expected_ledger;
pub mod expected_rows;
pub mod json_lines;
pub mod killed;
pub mod ledger;
pub mod messages;
pub mod printed;
pub mod program_cost;
pub mod recorder;
pub mod remember;
pub mod seccomp;
pub mod terminal;
pub mod thread_rights;
pub mod toa_tc;
pub mod usage;
