//! The receiver of what a connection's parser and stream find: passes it on if a rule matches the connection's client.

use super::{connection::Connection, sink::Sink};
use crate::{
    event::Event,
    http::{ProxyHeader, context},
    ledger::add,
    rule::matcher::Matcher,
};

/// Passes events of a connection to a sink.
pub(super) struct Receiver<'a, S> {
    pub(super) connection: &'a mut Connection,
    /// Whether the sink knows the connection.
    pub(super) is_announced: &'a mut bool,
    /// The rules for what the sink gets, if it does not get everything.
    pub(super) rules: Option<&'a Matcher>,
    /// Counts connections without a name.
    pub(super) unnamed: &'a mut u64,
    /// Counts connections that no rule matches.
    pub(super) unwatched: &'a mut u64,
    pub(super) sink: &'a mut S,
}

impl<S: Sink> Receiver<'_, S> {
    /// Announces a new connection to the sink if it is certainly wanted. Otherwise it is announced with its first event: a
    /// PROXY header may still name its client.
    pub(super) fn open(&mut self) {
        if self.rules.is_none() || (self.connection.attribution.is_named() && self.is_wanted()) {
            self.announce();
        }
    }

    fn announce(&mut self) {
        if !std::mem::replace(self.is_announced, true) {
            self.sink.event(self.connection, &Event::Opened);
        }
    }

    /// Returns whether a rule matches the client. Where nothing names it, rules are compared with the sender: without full
    /// NAT, that is the client.
    pub(super) fn is_wanted(&self) -> bool {
        self.rules.is_none_or(|rules| rules.watches(&self.connection.attribution))
    }
}

impl<S: Sink> context::Receiver for Receiver<'_, S> {
    fn event(&mut self, event: &Event<'_>) {
        if self.is_wanted() {
            if let Event::Tls(hello) = event {
                self.connection.greet(hello);
            }
            self.announce();
            self.sink.event(self.connection, event);
        }
    }

    fn begin(&mut self, proxy: Option<ProxyHeader>) -> bool {
        if let Some(proxy) = proxy {
            self.connection.begin_with(proxy);
        }
        let attribution = &self.connection.attribution;
        self.connection.is_sender_watched =
            !attribution.is_named() && self.rules.is_some_and(|rules| rules.names(attribution));
        let is_wanted = self.is_wanted();
        add(self.unnamed, u64::from(!self.connection.attribution.is_named()));
        add(self.unwatched, u64::from(!is_wanted));
        is_wanted
    }
}
