//! Counts that are worth a line only if they are not zero, each with its name for machines and its words for people.

use toa_common::counters::Counter;

use super::{Ledger, counters::Snapshot};

/// A count with its name and words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remark {
    /// The name for machines.
    pub name: &'static str,
    /// The count.
    pub count: u64,
    /// What is counted, in the singular.
    pub noun: &'static str,
    /// The rest of the line.
    pub text: &'static str,
}

/// Number of remarks of a pipeline.
pub const PIPELINE_REMARKS: usize = 34;

/// A remark of a pipeline, without its count.
type Words = (&'static str, &'static str, &'static str);

/// The names and words of the remarks of a pipeline, in the order of [`Ledger::remark_counts`].
const WORDS: [Words; PIPELINE_REMARKS] = [
    ("unnamed_connections", "connection", " without TOA or PROXY header: nothing names the client"),
    ("unwatched_connections", "connection", " not printed: no rule matches"),
    ("undecodable_samples", "undecodable ring sample", ""),
    ("hole_timeouts", "hole", " given up: not filled in time"),
    ("connection_bytes_limits", "hole", " given up: too much data waiting on one connection"),
    ("range_limits", "hole", " given up: too many ranges waiting on one connection"),
    ("total_bytes_limits", "wait", " given up: --max-memory reached"),
    ("conflicting_bytes", "byte", " arrived again with different content"),
    ("late_bytes", "byte", " discarded: arrived after the gap was reported"),
    ("before_start_bytes", "byte", " discarded: before the start of the connection"),
    ("after_end_bytes", "byte", " discarded: after the end of the connection"),
    ("out_of_window_bytes", "byte", " discarded: outside the TCP window"),
    ("bad_checksums", "segment", " discarded: wrong checksum"),
    ("old_timestamp_bytes", "byte", " discarded: older timestamp than what was read (PAWS)"),
    ("syn_bytes", "byte", " discarded: in a SYN without a Fast Open cookie"),
    ("urgent_bytes", "urgent byte", " left out"),
    ("stray_resets", "reset", " ignored: not at the next expected byte"),
    ("connections_evicted", "connection", " evicted: too many are open"),
    ("ended_evicted", "ended connection", " forgotten early: too many"),
    ("not_http", "connection", " not HTTP, or not any more"),
    ("resynchronized_requests", "request", " found by searching: may be part of a body"),
    ("malformed_requests", "request", " malformed: servers may refuse such requests"),
    ("conflicting_requests", "request", " of which bytes arrived again with different content"),
    ("reopened_requests", "request", " after what seemed to be the end of the connection"),
    ("possibly_unread_requests", "request", " after what a server may refuse: possibly not read"),
    ("faulty_framings", "request", " with ambiguous body length"),
    ("oversized_heads", "request head", " longer than --max-head"),
    ("oversized_hellos", "TLS ClientHello", " too long"),
    ("unfinished_heads", "request head", " ended before the target"),
    (
        "unknown_fields",
        "field",
        " of HTTP/2 unknown: refers to what was sent before the connection was joined, or was lost",
    ),
    ("large_tables", "announcement", " of a header compression table larger than 64 KiB (HTTP/2)"),
    ("empty_frames", "frame", " of HTTP/2 without content"),
    ("reset_streams", "stream", " of HTTP/2 reset by the client"),
    ("resync_bytes", "byte", " skipped in search of the next request"),
];

impl Ledger {
    /// Returns the counts of the remarks.
    pub fn remark_counts(&self) -> [u64; PIPELINE_REMARKS] {
        let (stream, http) = (&self.stream, &self.http);
        [
            self.unnamed_connections,
            self.unwatched_connections,
            self.undecodable_samples,
            stream.hole_timeouts,
            stream.connection_bytes_limits,
            stream.range_limits,
            self.total_bytes_limits,
            stream.conflicting_bytes,
            stream.late_bytes,
            stream.before_start_bytes,
            stream.after_end_bytes,
            stream.out_of_window_bytes,
            stream.bad_checksums,
            stream.old_timestamp_bytes,
            stream.syn_bytes,
            stream.urgent_bytes,
            stream.stray_resets,
            self.connections_evicted,
            self.ended_evicted,
            http.not_http,
            http.resynchronized_requests,
            http.malformed_requests,
            http.conflicting_requests,
            http.reopened_requests,
            http.possibly_unread_requests,
            http.faulty_framings,
            http.oversized_heads,
            http.oversized_hellos,
            http.unfinished_heads,
            http.unknown_fields,
            http.large_tables,
            http.empty_frames,
            http.reset_streams,
            http.resync_bytes,
        ]
    }

    /// Returns the remarks.
    pub fn remarks(&self) -> [Remark; PIPELINE_REMARKS] {
        let mut counts = self.remark_counts().into_iter();
        WORDS.map(|(name, noun, text)| Remark { name, count: counts.next().unwrap_or_default(), noun, text })
    }
}

/// Counters of the kernel program, or of the classifier for a capture, that are worth a line. A server ignores most of
/// these packets, so they are no loss.
const KERNEL: [(Counter, Words); 14] = [
    (Counter::Conflict, ("toa_conflicts", "packet", " with the TOA of another client than the connection's")),
    (Counter::Stray, ("stray_packets", "packet", " outside the TCP window, or a reset at the wrong place")),
    (Counter::Challenged, ("challenges", "SYN", " on an open connection")),
    (Counter::AfterEnd, ("after_end_packets", "packet", " after the end of the connection")),
    (Counter::Reopened, ("reopened", "connection", " that went on after an end")),
    (Counter::ReplacedOpen, ("replaced_open", "connection", " replaced by another of the same addresses")),
    (
        Counter::OtherInterface,
        ("other_interface", "packet", " on another interface or VLAN than the connection's first packet"),
    ),
    (Counter::Signed, ("signed", "packet", " with a signature (MD5, TCP-AO)")),
    (
        Counter::AckUnacceptable,
        ("ack_unacceptable", "packet", " with an ACK number that the server does not accept"),
    ),
    (Counter::AckOld, ("ack_old", "packet", " with an old ACK number: the server may not have read them")),
    (Counter::ServerClosed, ("server_closed", "packet", " after the server had closed their connection")),
    (Counter::OtherHost, ("other_host", "packet", " addressed to another host")),
    (Counter::FlowReused, ("flow_reused", "packet", " of just evicted connections (--max-flows)")),
    (Counter::FlowInsertFailed, ("flow_insert_failed", "connection", " not followed: the table refused it")),
];

/// Further counters that are worth a line for a capture.
const CAPTURE: [(Counter, Words); 4] = [
    (
        Counter::Fragment,
        ("fragments", "IP fragment", " skipped: only the first of a packet has a TCP header"),
    ),
    (Counter::Truncated, ("truncated", "packet", " skipped: headers not fully captured")),
    (Counter::Malformed, ("malformed", "packet", " skipped: lengths contradict each other")),
    (Counter::ExtensionHeaders, ("extension_headers", "packet", " skipped: too many IPv6 extension headers")),
];

impl Snapshot {
    /// Returns the remarks about the kernel program's work, or the classifier's. Of a live run, packets that are skipped
    /// before their connection is known are none.
    pub fn remarks(&self, is_live: bool) -> impl Iterator<Item = Remark> {
        let capture = CAPTURE.iter().filter(move |_| !is_live);
        KERNEL.iter().chain(capture).map(|(counter, (name, noun, text))| Remark {
            name,
            count: self.get(*counter),
            noun,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_remark_has_a_name_of_its_own() {
        let remarks: Vec<Remark> =
            Ledger::default().remarks().into_iter().chain(Snapshot::default().remarks(false)).collect();
        let names: HashSet<_> = remarks.iter().map(|remark| remark.name).collect();
        assert_eq!(names.len(), remarks.len());
    }

    #[test]
    fn a_remark_has_its_count() {
        let mut ledger = Ledger::default();
        ledger.stream.late_bytes = 7;
        ledger.http.resync_bytes = 9;
        let counts: Vec<_> =
            ledger.remarks().iter().filter(|it| it.count > 0).map(|it| (it.name, it.count)).collect();
        assert_eq!(counts, [("late_bytes", 7), ("resync_bytes", 9)]);
    }
}
