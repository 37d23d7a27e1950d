//! What a run has found so far, for other processes. The kernel's counters are not in it.

/// Number of reasons for losses that fit.
pub const LOSS_REASONS: usize = 16;

/// What a run has found so far. It is the only value of the map `ACTIVITY`, which the run writes once a second at most. All
/// are counts since the run began, in host order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct RunActivity {
    /// Requests, those that are marked in any way included.
    pub requests: u64,
    /// Requests whose head is incomplete.
    pub incomplete_requests: u64,
    /// Requests that were found by searching.
    pub resynchronized_requests: u64,
    /// Requests that a server may refuse.
    pub malformed_requests: u64,
    /// Requests of which bytes may have arrived twice with different content.
    pub conflicting_requests: u64,
    /// Requests after what seemed to be the end of their connection.
    pub reopened_requests: u64,
    /// Requests after one, or a frame of HTTP/2, that a server may refuse.
    pub possibly_unread_requests: u64,
    /// When the number of requests was last seen to grow, in nanoseconds of `CLOCK_MONOTONIC`, or 0.
    pub last_request_ns: u64,
    /// Connections.
    pub connections: u64,
    /// Gaps.
    pub gaps: u64,
    /// Bytes in gaps.
    pub gap_bytes: u64,
    /// Delivered bytes that were handed to the parser.
    pub used_bytes: u64,
    /// Delivered bytes that had been delivered before.
    pub duplicate_bytes: u64,
    /// Delivered bytes that had been delivered before with another content.
    pub conflicting_bytes: u64,
    /// Delivered bytes that were discarded.
    pub discarded_bytes: u64,
    /// What was lost, by reason, in user space's order of reasons.
    pub losses: [u64; LOSS_REASONS],
}

const _: () = assert!(size_of::<RunActivity>() == 8 * (15 + LOSS_REASONS));
