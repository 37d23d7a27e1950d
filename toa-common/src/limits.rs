//! Responsible for every bound that kernel and user space agree on. Not responsible for bounds that only
//! one side knows.

/// Entries of the LRU map of followed flows, unless the loader sets another number.
pub const MAX_FLOWS: u32 = 65_536;

/// Entries of the hash map of rules: 100,000 addresses and room for rules with a port.
pub const MAX_RULES: u32 = 131_072;

/// Entries of the trie of watched prefixes.
pub const MAX_PREFIXES: u32 = 16_384;

/// Entries of the trie of trusted balancers' prefixes.
pub const MAX_BALANCERS: u32 = 1_024;

/// Entries of the LRU map of untrusted sources.
pub const MAX_UNTRUSTED: u32 = 1_024;

/// Entries of the map of bypasses: connections that are in a body at the same time.
pub const MAX_BYPASSES: u32 = 16_384;

/// Longest TCP option area, in bytes: data offset 15 less the fixed header (RFC 9293 section 3.1).
pub const MAX_OPTIONS_BYTES: usize = 40;

/// Longest headers that are read, in bytes: Ethernet with two VLAN tags (22), IPv6 with extension headers
/// (40 + 134), TCP with all options (60).
pub const MAX_HEADERS_BYTES: usize = 256;

/// Where a TCP header may begin at the latest, in bytes from a packet's first.
pub const MAX_TRANSPORT_OFFSET: u32 = MAX_HEADERS_BYTES as u32 - 60;

/// Longest piece of a header that is viewed at once, in bytes: an IPv6 header, rounded up.
pub const MAX_VIEW_BYTES: usize = 64;

/// Longest sample of a perf event, in bytes, measured: `perf_event_header.size` has 16 bits, and beyond this
/// the size wraps while the helper still returns 0.
pub const MAX_SAMPLE_BYTES: usize = 65_516;

/// How long a flow that saw FIN or RST is still followed, in nanoseconds: retransmissions come late.
pub const LINGER_NS: u64 = 10_000_000_000;
