//! HTTP/2, and whether a connection that was joined is HTTP/2.

use super::{
    super::{
        NotHttp, PREVIEW_BYTES,
        context::Context,
        head::{Cause, Incomplete},
        http2::{
            block::Block,
            connection::{Connection, Step},
            join::{Join, Otherwise, Verdict},
            may_begin,
        },
        request_line::Malformation,
        search::Search,
        start::Before,
    },
    Parser, State,
};
use crate::ledger::add;

impl Parser {
    /// Continues with HTTP/2, whose preface comes next. It shows no start, because a body may contain it.
    pub(super) fn begin_http2(&mut self) {
        self.certainty.resynchronized |= matches!(self.before, Before::Unknown);
        // The request that asked for it is that of stream 1 (RFC 7540 section 3.2).
        let last_stream_id = u32::from(matches!(self.before, Before::Last(_)));
        self.state = State::Http2(Box::new(Connection::new(last_stream_id)));
        self.is_http2 = true;
    }

    /// Begins to keep the bytes of a segment if they may be HTTP/2 on a connection that was joined or lost bytes.
    pub(super) fn begin_join(&mut self, bytes: &[u8]) {
        let may_join = matches!(self.state, State::Http2(_) | State::Search(_) | State::Sample { .. });
        if !may_join || !may_begin(bytes) {
            return;
        }
        let may_be_http2 = self.may_be_http2();
        let otherwise = match &mut self.state {
            State::Http2(connection) if connection.is_lost() => {
                Otherwise::Http2(std::mem::replace(connection, Box::new(Connection::joined())))
            }
            State::Search(search) if search.len() == 0 && may_be_http2 => Otherwise::Joined,
            State::Sample { search, left, skip_bytes } if search.len() == 0 && may_be_http2 => {
                Otherwise::Sample { left: *left, skip_bytes: *skip_bytes }
            }
            _ => return,
        };
        self.state = State::Join(Box::new(Join::new(otherwise)));
    }

    /// Begins to keep `bytes` at the place of a first head, if they may be HTTP/2. Returns whether they may.
    pub(super) fn try_join(&mut self, bytes: &[u8], otherwise: Otherwise) -> bool {
        let may_join = self.may_be_http2() && may_begin(bytes);
        if may_join {
            self.state = State::Join(Box::new(Join::new(otherwise)));
        }
        may_join
    }

    /// Returns whether a connection that was joined, or lost bytes, may be HTTP/2.
    fn may_be_http2(&self) -> bool {
        match self.before {
            Before::Start | Before::Unknown => self.requests == 0 || self.is_http2,
            Before::Last(reason) => reason == NotHttp::Upgrade,
            Before::Request => false,
        }
    }

    /// Keeps all of `bytes` until it is known what they are.
    pub(super) fn join(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let State::Join(join) = &mut self.state else { return };
        match join.add(bytes, self.latest, cx.limits, cx.heads) {
            Verdict::Partial => {}
            Verdict::Frames => {
                let connection = if let Otherwise::Http2(mut connection) = join.take_otherwise() {
                    connection.resume();
                    connection
                } else {
                    add(&mut cx.ledger.resyncs, 1);
                    Box::new(Connection::joined())
                };
                self.certainty.resynchronized = true;
                self.is_http2 = true;
                let join = std::mem::replace(&mut self.state, State::Http2(connection));
                self.replay(join, cx);
            }
            Verdict::Other => {
                let first = join.first();
                if self.first_bytes.is_empty() {
                    self.first_bytes = first.get(..PREVIEW_BYTES).unwrap_or(first).to_vec();
                }
                self.leave_join(cx);
            }
        }
    }

    /// Takes the connection for what it is otherwise.
    pub(super) fn leave_join(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.state, State::Join(_)) {
            return;
        }
        let mut state = std::mem::replace(&mut self.state, State::Stopped);
        let State::Join(join) = &mut state else { return };
        match join.take_otherwise() {
            Otherwise::Http2(connection) => self.state = State::Http2(connection),
            Otherwise::Joined => self.lose(cx),
            Otherwise::Opening => self.stop(NotHttp::Other, join.first(), cx),
            Otherwise::Sample { left, skip_bytes } => {
                self.state = State::Sample { search: Search::default(), left, skip_bytes };
            }
        }
        self.replay(state, cx);
    }

    /// Processes the segments that `join` has kept.
    fn replay(&mut self, join: State, cx: &mut Context<'_>) {
        let State::Join(join) = join else { return };
        let latest = self.latest;
        for (bytes, arrival) in join.segments() {
            self.latest = arrival;
            self.data(bytes, cx);
        }
        self.latest = latest;
    }

    /// Reads frames. Returns the bytes that are still to be processed.
    pub(super) fn frames<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let mut rest = bytes;
        // Until more bytes are needed: what was read may end a frame, also if nothing is left.
        loop {
            let State::Http2(connection) = &mut self.state else { return rest };
            let (read, step) = connection.read(rest, cx.limits, cx.ledger, cx.heads);
            rest = rest.get(read..).unwrap_or_default();
            self.certainty.possibly_unread |= connection.has_error();
            match step {
                Step::More => return rest,
                Step::Head(block) => self.block(*block, None, None, cx),
                Step::LongHead(block) => {
                    let incomplete = Incomplete { cause: Cause::Length, gap_bytes: 0 };
                    self.block(*block, Some(incomplete), None, cx);
                }
                Step::Undecodable(block) => {
                    if let Some(block) = block {
                        self.block(*block, None, Some(Malformation::Compression), cx);
                    }
                    self.break_off(rest, cx);
                }
                Step::Broken => self.break_off(rest, cx),
            }
        }
    }

    /// Ends a connection of which no server reads any more. If frames were found by searching, the search goes on instead.
    fn break_off(&mut self, rest: &[u8], cx: &mut Context<'_>) {
        if let State::Http2(connection) = &mut self.state
            && let Some(block) = connection.give_up()
        {
            self.block(*block, Some(Incomplete { cause: Cause::End, gap_bytes: 0 }), None, cx);
        }
        match &mut self.state {
            State::Http2(connection) if self.certainty.resynchronized => {
                connection.lose();
                add(&mut cx.ledger.resyncs, 1);
            }
            _ => self.stop(NotHttp::Http2, rest, cx),
        }
    }

    /// Emits the request of a header block.
    pub(super) fn block(
        &mut self,
        block: Block,
        incomplete: Option<Incomplete>,
        error: Option<Malformation>,
        cx: &mut Context<'_>,
    ) {
        match block.into_request(incomplete, error, cx.heads) {
            Some(mut request) => self.emit(&mut request, 0, cx),
            None => add(&mut cx.ledger.unfinished_heads, 1),
        }
    }
}
