//! Counts requests and connections by what they have in common (`--summary-by`, `toa-tc clients`).

use std::{cmp::Reverse, collections::HashMap};

use foldhash::fast::RandomState;

use super::{group_by::GroupBy, redact::Redactor};
use crate::{
    event::Event,
    ledger::add,
    pipeline::{Sink, connection::Connection},
};

/// Maximum number of groups that are counted separately.
const MAX_GROUPS: usize = 65_536;

/// Maximum number of pairs of a group and an open connection that is counted in it. Beyond them, connections are no longer
/// counted in further groups.
const MAX_PAIRS: usize = 1 << 20;

/// The counts of one group, or of several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Requests, also incomplete ones.
    pub requests: u64,
    /// Connections with such requests. By client, also those without requests.
    pub connections: u64,
    /// When the first of them was seen, in nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// When the last one was seen.
    pub last_ns: u64,
}

impl Counts {
    fn see(&mut self, time_ns: u64) {
        let is_first = *self == Self::default();
        self.first_ns = if is_first { time_ns } else { self.first_ns.min(time_ns) };
        self.last_ns = self.last_ns.max(time_ns);
    }

    /// Adds up the counts of several groups.
    pub(super) fn sum(counts: impl Iterator<Item = Self>) -> Self {
        counts.filter(|counts| *counts != Self::default()).fold(Self::default(), |mut sum, counts| {
            sum.see(counts.first_ns);
            sum.see(counts.last_ns);
            add(&mut sum.requests, counts.requests);
            add(&mut sum.connections, counts.connections);
            sum
        })
    }
}

/// A group.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    number: u32,
    counts: Counts,
}

/// A group as it is shown.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The values that its requests have in common; `None` for what is missing.
    pub values: Vec<Option<&'a str>>,
    /// Its number among the groups, in the order in which they were first seen.
    pub number: u32,
    /// Its counts.
    pub counts: Counts,
}

/// The groups.
#[derive(Debug)]
pub struct SummaryTable {
    by: GroupBy,
    redactor: Redactor,
    groups: HashMap<Vec<u8>, Group, RandomState>,
    max_groups: usize,
    others: Counts,
    /// The groups in which each open connection is counted, by their numbers.
    connections: HashMap<u64, Vec<u32>, RandomState>,
    pairs: usize,
    /// The key of the latest event.
    key: Vec<u8>,
}

impl SummaryTable {
    /// Creates a table without groups.
    pub fn new(by: GroupBy, redactor: Redactor) -> Self {
        Self {
            by,
            redactor,
            groups: HashMap::default(),
            max_groups: MAX_GROUPS,
            others: Counts::default(),
            connections: HashMap::default(),
            pairs: 0,
            key: Vec::new(),
        }
    }

    /// Returns what it is grouped by.
    pub fn by(&self) -> &GroupBy {
        &self.by
    }

    /// Returns the number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns all groups. Those with the most requests come first.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        self.first_rows(usize::MAX, |_, _| ())
    }

    /// Returns the first `limit` groups in the order of `key`, which is called with the number and counts of each. Among
    /// equals, those with the most requests come first.
    pub fn first_rows<K: Ord>(&self, limit: usize, key: impl Fn(u32, &Counts) -> K) -> Vec<Row<'_>> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        let order = |(one, one_group): &(&Vec<u8>, &Group), (other, other_group): &(&Vec<u8>, &Group)| {
            let rank = |group: &Group| {
                let Group { number, counts } = group;
                (key(*number, counts), Reverse(counts.requests), Reverse(counts.connections))
            };
            rank(one_group).cmp(&rank(other_group)).then_with(|| one.cmp(other))
        };
        // Sorting all of very many would keep the rings waiting.
        if limit < groups.len() {
            groups.select_nth_unstable_by(limit, order);
            groups.truncate(limit);
        }
        groups.sort_unstable_by(order);
        groups
            .into_iter()
            .map(|(key, group)| Row {
                values: GroupBy::values(key).collect(),
                number: group.number,
                counts: group.counts,
            })
            .collect()
    }

    /// Returns the number of requests of each group, by its number.
    pub fn requests(&self) -> Vec<u64> {
        let mut requests = vec![0; self.groups.len()];
        for group in self.groups.values() {
            if let Some(of_group) = usize::try_from(group.number).ok().and_then(|at| requests.get_mut(at)) {
                *of_group = group.counts.requests;
            }
        }
        requests
    }

    /// Returns the counts of all groups together.
    pub fn total(&self) -> Counts {
        Counts::sum(self.groups.values().map(|group| group.counts).chain([self.others]))
    }

    /// Returns the counts of the groups for which the table had no room, together.
    pub fn others(&self) -> Counts {
        self.others
    }

    /// Returns the counts of the group of the latest key, and its number. Those that have no room share one.
    fn group(&mut self) -> (&mut Counts, u32) {
        let count = self.groups.len();
        if count < self.max_groups && !self.groups.contains_key(&self.key) {
            let group = Group { number: u32::try_from(count).unwrap_or(u32::MAX), ..Group::default() };
            self.groups.insert(self.key.clone(), group);
        }
        match self.groups.get_mut(&self.key) {
            Some(group) => (&mut group.counts, group.number),
            None => (&mut self.others, u32::MAX),
        }
    }

    /// Notes that a connection is in a group. Returns whether it was not yet.
    fn join(&mut self, id: u64, group: u32) -> bool {
        let groups = self.connections.entry(id).or_default();
        let is_new = !groups.contains(&group) && self.pairs < MAX_PAIRS;
        if is_new {
            groups.push(group);
            self.pairs = self.pairs.saturating_add(1);
        }
        is_new
    }
}

impl Sink for SummaryTable {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let (request, time_ns) = match event {
            Event::Opened if self.by.is_of_connections() => (None, connection.first_ns),
            Event::Request(request) => (Some(*request), request.time_ns),
            Event::Closed(_) => {
                let groups = self.connections.remove(&connection.id).unwrap_or_default();
                self.pairs = self.pairs.saturating_sub(groups.len());
                return;
            }
            _ => return,
        };
        let mut key = std::mem::take(&mut self.key);
        self.by.write_key(connection, request, &self.redactor, &mut key);
        self.key = key;
        let (counts, number) = self.group();
        counts.see(time_ns);
        add(&mut counts.requests, u64::from(request.is_some()));
        if self.join(connection.id, number) {
            add(&mut self.group().0.connections, 1);
        }
    }
}

#[cfg(test)]
mod tests;
