//! The user-space half of toa-tc.
//!
//! Responsible, in its pure part, for turning the kernel's records into printed HTTP heads: [`segment`]
//! checks a record, [`stream`] orders bytes, [`http`] finds heads, [`print`](mod@print) writes them, and [`pipeline`]
//! puts them together within [`limits`], while [`ledger`] counts what became of every byte. Where packets come from a
//! file, [`pcap`] reads it, [`follower`] stands in for the kernel's program, and [`replay`] puts those before the pipeline.
//!
//! [`live`] is the other part, which needs a kernel: it loads, attaches and reads the rings. Then the kernel has
//! decided what is followed.
//!
//! The pure part knows no clock, socket or kernel: time comes in as nanoseconds since the Unix epoch.

pub mod address;
pub mod capture;
pub mod event;
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
