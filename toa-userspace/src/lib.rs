//! The user-space half of toa-tc, as a library for its binary and its tests. It has no stable interface.
//!
//! The pure part turns the kernel's records into printed HTTP heads: [`segment`] checks a record, [`stream`] orders
//! bytes, [`http`] finds heads, [`print`](mod@print) writes them, and [`pipeline`] puts them together within
//! [`limits`], while [`ledger`] counts what became of every byte. For packets from a file, [`capture`] takes the
//! kernel's place. The pure part uses no clock, socket or kernel: its callers pass the time as nanoseconds since the
//! Unix epoch.
//!
//! [`filter`] writes filters for other programs.
//!
//! [`live`] needs a kernel: it loads and attaches the program and reads its rings.

pub mod address;
mod byte_class;
pub mod capture;
pub mod connection_table;
pub mod error_chain;
pub mod event;
pub mod filter;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod live;
mod memo;
pub mod nearest;
pub mod pipeline;
pub mod print;
pub mod rule;
pub mod segment;
pub mod stream;
pub mod tls;
pub mod toa_options;
pub mod workload;
