//! Bytes that are missing or not needed.

use super::{
    super::{
        context::Context,
        head::{Cause, Incomplete},
        http2::connection::Gap,
        proxy::header::ProxyHeader,
        start::Before,
    },
    Parser, State, sample,
};
use crate::{ledger::add, tls::ClientHello};

impl Parser {
    /// Skips bytes that are missing or not needed.
    pub(super) fn gap(&mut self, gap_bytes: u64, cx: &mut Context<'_>) {
        self.leave_opening(cx);
        self.leave_join(cx);
        match &mut self.state {
            State::Stopped | State::Unwanted | State::Join(_) => {}
            State::Http2(connection) => {
                let Gap { block, is_lost } = connection.pass_gap(gap_bytes);
                if let Some(block) = block {
                    self.block(*block, Some(Incomplete { cause: Cause::Gap, gap_bytes }), None, cx);
                }
                add(&mut cx.ledger.resyncs, is_lost.into());
            }
            State::Skip { left, skip_bytes } => {
                *left = left.saturating_sub(gap_bytes);
                if *left == 0 {
                    self.state = sample(*skip_bytes);
                }
            }
            State::Search(search) => search.drop_kept(&mut cx.ledger.resync_bytes),
            State::Sample { search, .. } => search.drop_kept(&mut cx.ledger.opaque_bytes),
            State::Body { body, expectation } => {
                *expectation = None;
                let progress = body.pass_gap(gap_bytes);
                self.after_body(progress, cx);
            }
            State::Hello(_) => self.stop_tls(&ClientHello::default(), cx),
            State::Proxy(reader) => {
                let unknown = ProxyHeader::unknown(reader.version());
                self.begin(Some(unknown), cx);
                if !self.is_unwanted() {
                    self.lose(cx);
                }
            }
            State::LongHead(_) => self.lose(cx),
            State::Opening(_) => self.before = Before::Unknown,
            // Still before the first head, so the next bytes may show what the stream is.
            State::Head(partial)
                if partial.is_empty() && matches!(self.before, Before::Start | Before::Unknown) =>
            {
                self.before = Before::Unknown;
            }
            State::Head(partial) => {
                let part = partial.take();
                if !part.is_empty() {
                    self.incomplete(&part, Incomplete { cause: Cause::Gap, gap_bytes }, cx);
                }
                self.lose(cx);
            }
        }
    }
}
