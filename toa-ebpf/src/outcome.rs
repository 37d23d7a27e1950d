//! What becomes of a packet.

/// What becomes of a packet: the outcome as reported, and in the upper half whether it is to be copied.
#[derive(Clone, Copy)]
pub(crate) struct Outcome(u64);

impl Outcome {
    #[inline(always)]
    pub(crate) fn new(reported: u32, due: u32) -> Self {
        Self((u64::from(due) << 32) | u64::from(reported))
    }

    #[inline(always)]
    pub(crate) fn is_due(self) -> bool {
        self.0 >> 32 != 0
    }

    #[inline(always)]
    pub(crate) fn reported(self) -> u32 {
        self.0 as u32
    }
}
