//! The user-space half of toa-tc.
//!
//! Responsible, in its pure part, for turning the kernel's records into printed HTTP heads: [`segment`]
//! checks a record, [`stream`] orders bytes, [`http`] finds heads, [`print`](mod@print) writes them, and [`pipeline`]
//! puts them together within [`limits`], while [`ledger`] counts what became of every byte. Not responsible
//! for deciding what is followed: the kernel has done that.
//!
//! [`live`] is the other part, which needs a kernel: it loads, attaches and reads the rings.
//!
//! The pure part knows no clock, socket or kernel: time comes in as nanoseconds since the Unix epoch.

pub mod client;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod live;
pub mod pipeline;
pub mod print;
pub mod rule;
pub mod segment;
pub mod stream;
pub mod tls;
pub mod toa_options;
