//! From the bytes of a head to its request.

use super::{
    super::{
        NotHttp, PREVIEW_BYTES,
        context::Context,
        expectation::Expectation,
        head::{self, Cause, HttpRequest, Incomplete},
        http2::join::Otherwise,
        long_head::LongHead,
        search::MAX_LINE_BYTES,
        start::{Before, Verdict},
    },
    Parser, State,
};
use crate::{event::Event, ledger::add};

impl Parser {
    /// Reads a head at the beginning of `bytes`. Returns the bytes after it.
    pub(super) fn head_in_place<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        // Empty lines before a request are ignored (RFC 9112 section 2.2).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        add(&mut cx.ledger.head_bytes, empty as u64);
        let bytes = bytes.get(empty..).unwrap_or_default();
        if bytes.is_empty() {
            return bytes;
        }
        let line_len = match self.before.judge(bytes, MAX_LINE_BYTES) {
            Verdict::Head { line_len } => line_len,
            verdict => {
                self.turn_away(&verdict, bytes, cx);
                return bytes;
            }
        };
        if let Some(len) = line_len
            && head::is_lone_line(bytes, len)
        {
            let (line, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
            self.complete(HttpRequest::read(line, cx.limits.fields, cx.heads), cx);
            return rest;
        }
        cx.heads.lines.expect(self.first_field);
        let read = HttpRequest::read_first(bytes, line_len, cx.limits.fields, cx.heads);
        let len = read.as_ref().map_or(bytes.len(), |request| request.raw().len());
        if len > cx.limits.head_bytes {
            let (kept, rest) = bytes.split_at_checked(cx.limits.head_bytes).unwrap_or((bytes, &[]));
            self.cut(kept, cx);
            return rest;
        }
        match read {
            Ok(request) => {
                self.complete(request, cx);
                bytes.get(len..).unwrap_or_default()
            }
            Err(looked) => {
                if let State::Head(partial) = &mut self.state {
                    partial.begin(bytes, looked, line_len);
                }
                &[]
            }
        }
    }

    /// Adds the beginning of `bytes` to a head that is collected in parts. Returns the bytes after the added ones.
    pub(super) fn head_in_parts<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let Self { state: State::Head(partial), before: previous, .. } = self else {
            return bytes;
        };
        let before = partial.len();
        let (added, rest) = partial.collect(bytes);
        // The line is examined again when it may be complete, and as long as it is short.
        if partial.line_len.is_none() && (before < MAX_LINE_BYTES || memchr::memchr(b'\n', added).is_some()) {
            match previous.judge(partial.bytes(), MAX_LINE_BYTES) {
                Verdict::Head { line_len } => partial.line_len = line_len,
                verdict => {
                    let mut collected = partial.take();
                    self.turn_away(&verdict, &collected, cx);
                    // The collected and the new bytes are processed separately, because a request or a frame may begin
                    // with `bytes`.
                    collected.truncate(before);
                    self.data(&collected, cx);
                    self.begin_join(bytes);
                    return bytes;
                }
            }
        }
        let lone = partial.line_len.filter(|len| head::is_lone_line(partial.bytes(), *len));
        match lone.or_else(|| partial.end()) {
            Some(end) if end <= cx.limits.head_bytes => {
                partial.truncate(end);
                let head = partial.take();
                self.complete(HttpRequest::read(&*head, cx.limits.fields, cx.heads), cx);
                bytes.get(end.saturating_sub(before)..).unwrap_or_default()
            }
            None if partial.len() <= cx.limits.head_bytes => rest,
            _ => {
                partial.truncate(cx.limits.head_bytes);
                let kept = partial.take();
                self.cut(&kept, cx);
                bytes.get(kept.len().saturating_sub(before)..).unwrap_or_default()
            }
        }
    }

    /// Handles bytes other than a head at the place of one.
    fn turn_away(&mut self, verdict: &Verdict, bytes: &[u8], cx: &mut Context<'_>) {
        match verdict {
            Verdict::NotHttp(NotHttp::Other) if self.try_join(bytes, Otherwise::Opening) => {}
            Verdict::NotHttp(reason) => self.stop(*reason, bytes, cx),
            Verdict::Tls => self.state = State::Hello(Box::default()),
            Verdict::Http2 => self.begin_http2(),
            Verdict::Lost if self.try_join(bytes, Otherwise::Joined) => {}
            Verdict::Lost | Verdict::Head { .. } => {
                if let Before::Unknown = self.before {
                    self.first_bytes = bytes.get(..PREVIEW_BYTES).unwrap_or(bytes).to_vec();
                }
                self.lose(cx);
            }
        }
    }

    /// Emits the request of a complete head and continues after it.
    pub(super) fn complete(&mut self, mut request: HttpRequest<'_>, cx: &mut Context<'_>) {
        let len = request.raw().len();
        self.before = if !request.may_end_http() {
            Before::Request
        } else if request.method() == b"CONNECT" {
            Before::Last(NotHttp::Connect)
        } else {
            Before::Last(NotHttp::Upgrade)
        };
        self.first_field = request.fields().next().and_then(|field| field.place());
        let framing = request.framing();
        let expectation = request.expects_continue().then(|| Expectation::of(self.latest.ack));
        self.emit(&mut request, len, cx);
        request.give_back(cx.heads);
        self.begin_body(framing, expectation, cx);
    }

    /// Emits the request of a head that is longer than allowed, of which `kept` is the beginning.
    fn cut(&mut self, kept: &[u8], cx: &mut Context<'_>) {
        self.before = Before::Request;
        self.state = State::LongHead(Box::new(LongHead::new(kept)));
        self.incomplete(kept, Incomplete { cause: Cause::Length, gap_bytes: 0 }, cx);
    }

    /// Emits an incomplete head, if it says at least what was asked for.
    pub(super) fn incomplete(&mut self, part: &[u8], incomplete: Incomplete, cx: &mut Context<'_>) {
        let read = HttpRequest::read_incomplete(part, incomplete, cx.limits.fields, cx.heads);
        if let Some(mut request) = read {
            self.emit(&mut request, part.len(), cx);
            request.give_back(cx.heads);
        } else {
            add(&mut cx.ledger.unfinished_heads, 1);
            add(&mut cx.ledger.resync_bytes, part.len() as u64);
        }
    }

    pub(super) fn emit(&mut self, request: &mut HttpRequest<'_>, len: usize, cx: &mut Context<'_>) {
        self.requests = self.requests.saturating_add(1);
        request.number = self.requests;
        request.time_ns = self.latest.time_ns;
        request.certainty = self.certainty;
        self.first_bytes = Vec::new();
        add(&mut cx.ledger.head_bytes, len as u64);
        let unknown_fields = request.stream.map_or(0, |stream| stream.unknown_fields);
        add(&mut cx.ledger.unknown_fields, unknown_fields.into());
        for (counter, happened) in [
            (&mut cx.ledger.requests, true),
            (&mut cx.ledger.incomplete_requests, request.incomplete.is_some()),
            (&mut cx.ledger.oversized_heads, request.incomplete.is_some_and(|it| it.cause == Cause::Length)),
            (&mut cx.ledger.malformed_requests, request.malformation.is_some()),
            (&mut cx.ledger.resynchronized_requests, request.certainty.resynchronized),
            (&mut cx.ledger.conflicting_requests, request.certainty.conflicting),
            (&mut cx.ledger.reopened_requests, request.certainty.reopened),
            (&mut cx.ledger.possibly_unread_requests, request.certainty.possibly_unread),
            (&mut cx.ledger.faulty_framings, request.framing_fault().is_some()),
        ] {
            add(counter, happened.into());
        }
        cx.receiver.event(&Event::Request(request));
        // For the rest of the connection: whatever the server answers does not come this way.
        self.certainty.possibly_unread |= request.may_be_the_last();
    }
}
