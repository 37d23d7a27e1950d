//! Reading, classification and replay of pcap and pcapng captures. The input may arrive in pieces and be compressed.
//!
//! The reader measures blocks itself and reads them only when they are complete. So at most one incomplete block is
//! kept, and a block that contradicts its own length is an error instead of an endless wait.

mod block;
pub mod classifier;
mod compression;
mod error;
mod format;
mod input;
mod interface;
mod limits;
mod link;
mod names;
mod packet;
mod pcap;
mod pcapng;
mod reader;
mod recorded;
pub mod replay;
mod tunnel;
pub mod writer;

pub use compression::{Compression, CompressionError};
pub use error::CaptureError;
pub use link::{LinkNumber, LinkType};
pub use names::Names;
pub use packet::{Packet, PacketBuf};
pub use reader::{Next, Reader};
pub use tunnel::{Tunnel, Tunnels};

#[cfg(test)]
pub(crate) mod tests;
