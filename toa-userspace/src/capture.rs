//! Responsible for reading captures, pcap and pcapng, from anything that gives bytes piece by piece. Not responsible
//! for what their packets mean.
//!
//! Blocks are measured here and read by `pcap-parser` once they are whole: so no more is kept than one block, and a
//! block that says one length and has another is an error and no wait.

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
