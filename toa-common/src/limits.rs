//! Limits that kernel and user space share.

/// Entries of the LRU map of flows, unless the loader sets another number.
pub const MAX_FLOWS: u32 = 65_536;

/// Entries of the LRU map of handshakes: those of a flood within the time that one takes.
pub const MAX_HANDSHAKES: u32 = 65_536;

/// Entries of the array that says which source ports have handshakes: a power of two, small enough for a CPU's cache.
pub const HANDSHAKE_PORTS: u32 = 4_096;

/// Entries of the hash map of rules: 100,000 addresses and room for rules with a port.
pub const MAX_RULES: u32 = 131_072;

/// Entries of the trie of watched prefixes.
pub const MAX_PREFIXES: u32 = 16_384;

/// Entries of the trie of trusted balancers' prefixes.
pub const MAX_BALANCERS: u32 = 1_024;

/// Entries of the LRU map of untrusted sources.
pub const MAX_UNTRUSTED: u32 = 1_024;

/// Entries per CPU of the array of clients that TOA named lately: a power of two.
pub const CLIENT_EXAMPLES: u32 = 4;

/// Entries of the map of bypasses: the number of connections that may be in a body at the same time.
pub const MAX_BYPASSES: u32 = 16_384;

/// Maximum number of bytes that are copied of one read of plaintext: those of a TLS record (RFC 8446 section 5.1), of which
/// OpenSSL returns at most one at a time.
pub const MAX_PLAINTEXT_BYTES: usize = 16 << 10;

/// Entries of the LRU map of TLS objects, if plaintext is read.
pub const MAX_SESSIONS: u32 = 65_536;

/// Entries of the LRU map of reads that have not returned, if plaintext is read: the threads that wait in one.
pub const MAX_CALLS: u32 = 16_384;

/// Entries of the array that says which connections may have become followed, apart from user space's: a power of two, so many
/// that few connections of a server have the same one.
pub const FLOW_CHANGES: u32 = 4_096;

/// Entries of the array that says how many reads of a thread have not returned: a power of two, so many that few threads have
/// the same one.
pub const PENDING_CALLS: u32 = 4_096;

/// Buffers for plaintext per CPU, if it is read. A thread may be preempted while it copies.
pub const PLAINTEXT_BUFFERS: u32 = 2;

/// Maximum length of the TCP option area, in bytes: data offset 15 less the fixed header (RFC 9293 section 3.1).
pub const MAX_OPTIONS_BYTES: usize = 40;

/// Maximum length of the headers that are read, in bytes: Ethernet with two VLAN tags (22), IPv6 with extension headers
/// (40 + 134), TCP with all options (60).
pub const MAX_HEADERS_BYTES: usize = 256;

/// Maximum offset of a TCP header, in bytes from the start of the packet.
pub const MAX_TRANSPORT_OFFSET: u32 = MAX_HEADERS_BYTES as u32 - 60;

/// Maximum size of one view of a header, in bytes: an IPv6 header, rounded up.
pub const MAX_VIEW_BYTES: usize = 64;

/// Maximum size of a perf event's sample, in bytes. Measured: `perf_event_header.size` has 16 bits, and the size of a
/// larger sample wraps while the helper still returns 0.
pub const MAX_SAMPLE_BYTES: usize = 65_516;

/// How long an ended flow is kept after its last packet, in nanoseconds: longer than its server remembers it (Linux:
/// `TCP_TIMEWAIT_LEN`, 60 s).
pub const LINGER_NS: u64 = 300_000_000_000;

/// The same if half the map is in use, in nanoseconds: retransmissions may still arrive.
pub const SHORT_LINGER_NS: u64 = 10_000_000_000;
