//! Bodies that a client may leave out because it expects a confirmation first (RFC 9110 section 10.1.1).
//!
//! A client that waits in vain for a confirmation sends the body, too. After another answer it may send the next request
//! instead, and wait for its answer. But a body may also just look like that.

use toa_common::seq::Seq;

use super::{
    framing::Framing,
    head::{self, HttpRequest},
    memory::HeadMemory,
    search::MAX_LINE_BYTES,
    start::{Start, certain_request_line},
};
use crate::limits::Limits;

/// What a server sends if it wants the body (RFC 9110 section 15.2.1). Hardly any adds fields.
const CONFIRMATION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The expectation of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expectation {
    /// The acknowledgment number of the head.
    head_ack: Seq,
}

impl Expectation {
    /// Creates that of a head whose segment had this acknowledgment number.
    pub(super) fn of(head_ack: Seq) -> Self {
        Self { head_ack }
    }

    /// Returns whether `bytes`, the first ones after the head, are the next request and not the body. `ack` is the
    /// acknowledgment number of their segment.
    pub(super) fn is_refused(self, bytes: &[u8], ack: Seq, limits: &Limits) -> bool {
        let answer = ack.distance(self.head_ack);
        let is_confirmed = answer == 0 || usize::try_from(answer) == Ok(CONFIRMATION.len());
        !is_confirmed && is_lone_request(bytes, limits)
    }
}

/// Returns whether bytes are the beginning of a request with nothing but its body behind it.
fn is_lone_request(bytes: &[u8], limits: &Limits) -> bool {
    if certain_request_line(bytes, MAX_LINE_BYTES) != Start::Request {
        return false;
    }
    let Ok(end) = head::end(bytes, 0) else { return true };
    let head = bytes.get(..end).unwrap_or_default();
    end == bytes.len()
        || HttpRequest::read(head, limits.fields, &mut HeadMemory::default()).framing() != Framing::Length(0)
}
