//! Building blocks of the end-to-end tests of toa-tc. The expectations are in the tests.
//!
//! - [`lab`]: network namespaces, devices, and the programs that mark real connections as balancers do;
//! - [`peers`]: the programs that run beside the tool: nginx, wrk, clients, tcpdump;
//! - [`tool`]: the tool itself, what it prints, and what it should have printed;
//! - [`http_rows`]: what clients send to HTTP servers;
//! - [`differential`]: the kernel's program compared with the classifier of `toa-tc read`.
//! - [`recording`]: terminal sessions for the documentation;
//! - [`segments`]: random segments, compared with a real server.

pub mod differential;
pub mod http_rows;
pub mod lab;
pub mod paired_rate;
pub mod peers;
pub mod process;
pub mod recording;
pub mod segments;
pub mod tool;
pub mod wait;
