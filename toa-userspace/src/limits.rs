//! All bounds of the pure part, in entries, bytes and time. The ledger counts how often each is reached.

/// Bounds on what is kept, with defaults that suit a busy host.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections. Beyond this, the connection that has been silent for longest is flushed and dropped.
    pub connections: usize,
    /// Ended connections to remember, so that a late retransmission does not open them again.
    pub ended_connections: usize,
    /// Separate ranges of bytes that wait for a hole before them, per connection. Beyond this, the first hole is given
    /// up.
    pub ranges: usize,
    /// Bytes of memory that wait for holes, per connection. Beyond this, the first hole is given up.
    pub connection_bytes: usize,
    /// Bytes of memory that wait for holes or for the end of a head, over all connections. Beyond this, the connection
    /// that needs more gives up what it waits for.
    pub total_bytes: usize,
    /// Bytes of a head, including its final empty line.
    pub head_bytes: usize,
    /// Fields of a head. Servers allow 100 to 2,000.
    pub fields: usize,
    /// Least number of unneeded bytes for which the kernel is asked for a bypass: each bypass costs two changes of a
    /// map.
    pub bypass_bytes: u64,
    /// How long a hole may stay open if the rings lost packets since it began, in nanoseconds: the kernel program has
    /// seen the missing packet, so its sender will not send it again.
    pub hole_ns: u64,
    /// How long any other hole may stay open, in nanoseconds: several retransmission time-outs, which begin at one second
    /// and double (RFC 6298).
    pub patience_ns: u64,
    /// How long the start of a stream without SYN stays open if it looks like the start of a request, in nanoseconds:
    /// the time from the hook to the ring, with a margin.
    pub settle_ns: u64,
    /// How long the start of any other stream without SYN stays open, in nanoseconds: the time over which networks
    /// reorder packets.
    pub start_ns: u64,
    /// How long a connection may be silent before it is dropped, in nanoseconds.
    pub idle_ns: u64,
    /// How long a connection of which the kernel copies nothing may be silent before its bypass is cleared, to see whether
    /// it is alive, in nanoseconds.
    pub probe_ns: u64,
    /// How long to wait for the plaintext of a connection whose packets have ended, in nanoseconds: servers read what has
    /// arrived at once, and then tell the end themselves.
    pub plaintext_ns: u64,
    /// How long an ended connection is remembered, in nanoseconds.
    pub linger_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            ended_connections: 16_384,
            ranges: 256,
            connection_bytes: 4 << 20,
            total_bytes: 128 << 20,
            head_bytes: 64 << 10,
            fields: 2000,
            bypass_bytes: 64 << 10,
            hole_ns: 2_000_000_000,
            patience_ns: 60_000_000_000,
            settle_ns: 2_000_000,
            start_ns: 50_000_000,
            idle_ns: 86_400_000_000_000,
            probe_ns: 300_000_000_000,
            plaintext_ns: 5_000_000_000,
            linger_ns: toa_common::limits::LINGER_NS,
        }
    }
}
