//! The programs that tests run beside the tool.

pub mod answering;
mod answers;
pub mod churn;
pub mod client;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod grpc;
pub mod idle;
pub mod nginx;
pub mod raw_client;
pub mod request_lines;
pub mod steady;
pub mod tcpdump;
pub mod tls_client;
pub mod wrk;
