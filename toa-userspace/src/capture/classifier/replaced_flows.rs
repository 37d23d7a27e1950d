//! Flows whose 4-tuple another connection seems to use now. Their streams may go on.

use foldhash::quality::RandomState;
use lru::LruCache;
use toa_common::{flow::Flow, flow_key::FlowKey};

/// The flows, the latest of each 4-tuple.
#[derive(Debug)]
pub(super) struct ReplacedFlows {
    flows: LruCache<FlowKey, Flow, RandomState>,
    max: usize,
}

impl ReplacedFlows {
    /// Keeps at most `max` flows.
    pub(super) fn new(max: usize) -> Self {
        Self { flows: LruCache::unbounded_with_hasher(RandomState::default()), max }
    }

    /// Returns whether there is one with this 4-tuple.
    pub(super) fn contains(&self, key: &FlowKey) -> bool {
        self.flows.contains(key)
    }

    /// Returns whether there are none, as in most captures.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Returns the one with this 4-tuple.
    pub(super) fn get(&self, key: &FlowKey) -> Option<Flow> {
        self.flows.peek(key).copied()
    }

    /// Keeps a flow.
    pub(super) fn put(&mut self, key: FlowKey, flow: Flow) {
        self.flows.put(key, flow);
        if self.flows.len() > self.max {
            self.flows.pop_lru();
        }
    }

    /// Forgets the one with this 4-tuple.
    pub(super) fn remove(&mut self, key: &FlowKey) {
        self.flows.pop(key);
    }
}
