//! Learning the connections of TLS objects that are older than the probes, from the system calls within their reads.

use aya::{
    maps::{Array, MapData, MapError},
    programs::raw_trace_point::RawTracePointLink,
};
use thiserror::Error;

use crate::live::program::load::{LoadError, Loaded};

/// The map of the word that says whether the programs learn.
const LEARNING: &str = "LEARNING";

/// Why that is not possible.
#[derive(Debug, Error)]
pub enum LearningError {
    /// The program could not be loaded or attached.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The map could not be written.
    #[error("cannot write to the map {LEARNING}")]
    Map(#[from] MapError),
}

/// Learns until it is dropped. Every system call of the host costs a little more as long.
pub struct Learning {
    _link: RawTracePointLink,
    word: Array<MapData, u32>,
}

impl Learning {
    /// Begins.
    pub fn begin(loaded: &mut Loaded) -> Result<Self, LearningError> {
        let mut word = Array::try_from(loaded.take_map(LEARNING)?)?;
        let link = loaded.system_calls()?;
        word.set(0, 1, 0)?;
        Ok(Self { _link: link, word })
    }
}

impl Drop for Learning {
    fn drop(&mut self) {
        // If that fails, reads of unknown objects cost more.
        let _ = self.word.set(0, 0, 0);
    }
}
