//! Reading, classification and replay of pcap and pcapng captures. The input may arrive in pieces.
//!
//! The reader measures blocks itself and passes them to `pcap-parser` only when they are complete. So at most one
//! incomplete block is kept, and a block that contradicts its own length is an error instead of an endless wait.

pub mod classifier;
mod error;
mod limits;
mod link;
mod packet;
mod pcapng;
mod reader;
pub mod replay;

pub use error::CaptureError;
pub use link::LinkType;
pub use packet::Packet;
pub use pcapng::Names;
pub use reader::{Next, Reader};

#[cfg(test)]
pub(crate) mod tests;
