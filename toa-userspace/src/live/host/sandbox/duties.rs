//! What a run still has to do when it has given up its rights.

use std::path::PathBuf;

/// What a run still has to do.
#[derive(Clone, Debug, Default)]
pub struct Duties {
    /// To ask for the sockets of other processes, and to load programs that read them.
    pub reads_sockets: bool,
    /// To remove pins below this directory.
    pub pins: Option<PathBuf>,
    /// To create and write files in these directories.
    pub outputs: Vec<PathBuf>,
    /// To rename files there.
    pub rotates: bool,
    /// To accept connections at a socket that is open.
    pub serves: bool,
    /// To connect to this TCP port.
    pub connects: Option<u16>,
}
