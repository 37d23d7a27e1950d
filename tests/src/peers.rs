//! The programs that tests run beside the tool.

pub mod answering;
mod answers;
mod certificate;
pub mod churn;
pub mod client;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod grpc;
pub mod http2_client;
pub mod idle;
pub mod nginx;
pub mod raw_client;
pub mod request_lines;
pub mod steady;
pub mod tcpdump;
pub mod tls_client;
mod tls_pipe;
pub mod tls_server;
pub mod tshark;
pub mod wrk;
