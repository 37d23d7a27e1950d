//! Why toa-tc and tshark differ.

use std::{collections::BTreeMap, fmt};

use crate::{
    alignment::Difference,
    ours::Ours,
    request::{Ends, Request},
    theirs::{Theirs, below_tcp, is_read},
};

/// The cause of a difference.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Cause {
    /// toa-tc does not support the link type, and says so.
    LinkType,
    /// toa-tc stops before that, with an error: the capture is damaged or no capture.
    NotReadFurther,
    /// It is in a tunnel that toa-tc does not read.
    Tunnel,
    /// It is in IP fragments, which toa-tc does not put together.
    Fragments,
    /// toa-tc does not follow the connection, whose beginning is not in the capture.
    NotFollowed,
    /// toa-tc says that the connection is not HTTP.
    NotHttp,
    /// Bytes are missing in the capture, and toa-tc says so.
    MissingBytes,
    /// A packet has a wrong checksum, and toa-tc says so.
    Checksum,
    /// toa-tc marks the request.
    Marked(String),
    /// toa-tc counts something by name that may be the cause.
    Counted(String),
    /// tshark does not look for HTTP on the port.
    OtherPort,
    /// tshark does not know the method.
    OtherMethod,
    /// With other settings of its reassembly, tshark agrees with toa-tc.
    Reassembly,
    /// tshark tells more or fewer connections of the same ends apart, for example because it knows no TOA.
    OtherConnections,
    /// None of these: one of the programs is wrong.
    Unexplained,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkType => "link type not supported",
            Self::NotReadFurther => "capture not read further",
            Self::Tunnel => "tunnel not supported",
            Self::Fragments => "IP fragments",
            Self::NotFollowed => "connection not followed",
            Self::NotHttp => "said to be not HTTP",
            Self::MissingBytes => "missing bytes",
            Self::Checksum => "wrong checksum",
            Self::Marked(mark) => return write!(f, "marked {mark}"),
            Self::Counted(name) => return write!(f, "counted: {name}"),
            Self::OtherPort => "tshark: no HTTP on this port",
            Self::OtherMethod => "tshark: unknown method",
            Self::Reassembly => "tshark: reassembly differs",
            Self::OtherConnections => "tshark: connections differ",
            Self::Unexplained => "unexplained",
        })
    }
}

/// Methods that tshark is known to know. It has others, by which nothing is explained that it prints.
const METHODS: [&str; 16] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];

/// Counts of toa-tc that say why bytes or packets of a connection were not used, or what was passed over in search of a
/// request.
const COUNTS: [&str; 21] = [
    "after_end_bytes",
    "after_end_packets",
    "before_start_bytes",
    "conflicting_bytes",
    "connection_bytes_limits",
    "connections_evicted",
    "ended_evicted",
    "extension_headers",
    "hole_timeouts",
    "late_bytes",
    "malformed",
    "no_ack",
    "old_timestamp_bytes",
    "out_of_window_bytes",
    "oversized_heads",
    "range_limits",
    "resync_bytes",
    "signed",
    "syn_bytes",
    "total_bytes_limits",
    "urgent_bytes",
];

/// What is known about a capture.
pub(crate) struct Evidence<'a> {
    pub(crate) ours: &'a Ours,
    pub(crate) theirs: &'a Theirs,
    /// The requests that tshark finds with other settings.
    pub(crate) with_other_settings: &'a [Request],
}

impl Evidence<'_> {
    /// Returns the cause of a difference.
    pub(crate) fn cause(&self, difference: &Difference<'_>) -> Cause {
        let cause = match difference {
            Difference::OnlyOurs(request) => self.only_ours(request),
            Difference::OnlyTheirs(request) => self.only_theirs(request),
            Difference::Differs(request, theirs) => self
                .mark(request)
                .or_else(|| self.other_settings(request))
                .or_else(|| self.checksum(theirs.ends)),
        };
        cause.unwrap_or(Cause::Unexplained)
    }

    fn only_ours(&self, request: &Request) -> Option<Cause> {
        let is_http = self.theirs.streams.get(&request.ends).is_some_and(|stream| stream.is_http);
        let by_tshark = || match request.method.as_str() {
            _ if !is_http => Some(Cause::OtherPort),
            method if !METHODS.contains(&method) => Some(Cause::OtherMethod),
            _ => None,
        };
        self.mark(request)
            .or_else(|| self.other_settings(request))
            .or_else(by_tshark)
            .or_else(|| self.other_connections(request.ends))
    }

    fn only_theirs(&self, request: &Request) -> Option<Cause> {
        let Self { ours, theirs, .. } = self;
        let ends = request.ends;
        let frame = theirs.requests.iter().position(|it| std::ptr::eq(it, request));
        let frame = frame.and_then(|at| theirs.frames.get(at));
        let stream = theirs.streams.get(&ends).cloned().unwrap_or_default();
        let is_followed = ours.connections.contains_key(&ends);
        if ours.said.contains("unsupported link type") && !is_followed {
            return Some(Cause::LinkType);
        }
        if frame.is_some_and(|frame| !below_tcp(frame).iter().all(|name| is_read(name))) {
            return Some(Cause::Tunnel);
        }
        if frame.is_some_and(|frame| frame.is_fragmented) && ours.remarks.contains_key("fragments") {
            return Some(Cause::Fragments);
        }
        if ours.other.contains(&ends) {
            return Some(Cause::NotHttp);
        }
        if stream.lacks_bytes && (ours.lacks_bytes || ours.remarks.contains_key("truncated")) {
            return Some(Cause::MissingBytes);
        }
        if let Some(cause) = self.checksum(ends) {
            return Some(cause);
        }
        if let Some(count) = ours.remarks_of(ends).find(|name| COUNTS.contains(name)) {
            return Some(Cause::Counted(count.to_owned()));
        }
        if ours.failure.is_some() {
            return Some(Cause::NotReadFurther);
        }
        (!is_followed && !stream.has_syn).then_some(Cause::NotFollowed)
    }

    /// Returns the first mark of a request of ours.
    fn mark(&self, request: &Request) -> Option<Cause> {
        let at = self.ours.requests.iter().position(|it| std::ptr::eq(it, request))?;
        let mark = self.ours.marks.get(at)?.first()?;
        Some(Cause::Marked(mark.clone()))
    }

    /// Returns whether tshark finds a request of ours with other settings.
    fn other_settings(&self, request: &Request) -> Option<Cause> {
        self.with_other_settings.iter().any(|it| it.agrees(request)).then_some(Cause::Reassembly)
    }

    fn other_connections(&self, ends: Ends) -> Option<Cause> {
        let ours = self.ours.connections.get(&ends).map(BTreeMap::len);
        let theirs = self.theirs.streams.get(&ends).map(|stream| stream.numbers.len());
        (ours != theirs).then_some(Cause::OtherConnections)
    }

    fn checksum(&self, ends: Ends) -> Option<Cause> {
        let is_wrong = self.theirs.streams.get(&ends).is_some_and(|stream| stream.has_bad_checksum);
        (is_wrong && self.ours.remarks.contains_key("bad_checksums")).then_some(Cause::Checksum)
    }
}

#[cfg(test)]
mod tests;
