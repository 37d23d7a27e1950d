//! The watched set in the kernel: the rules, and a word with one bit for each shape of rule that is in use.
//!
//! Two processes must not change it at the same time, see [`crate::live::runs::Run::lock`]. [`crate::rule`] parses
//! rules.

use std::{collections::HashSet, io};

use aya::maps::{
    Array, HashMap, Map, MapData, MapError,
    lpm_trie::{self, LpmTrie},
};
use thiserror::Error;
use toa_common::{
    address::Client,
    limits::{MAX_PREFIXES, MAX_RULES},
    rule::{PrefixKey, RuleKey, is_watched},
};

use crate::rule::{Key, Rule};

/// `BPF_NOEXIST` of `linux/bpf.h`.
pub(super) const NO_EXIST: u64 = 1;

/// Why the watched set could not be read or changed.
#[derive(Debug, Error)]
pub enum WatchError {
    /// A map is full.
    #[error("nothing was added: the watched set holds at most {MAX_RULES} rules and {MAX_PREFIXES} prefixes")]
    Full,
    /// A map operation failed.
    #[error("cannot use the maps of rules")]
    Map(#[from] MapError),
}

/// The maps of the watched set.
pub struct Watch {
    rules: HashMap<MapData, RuleKey, u32>,
    prefixes: LpmTrie<MapData, PrefixKey, u32>,
    shapes: Array<MapData, u32>,
}

/// The result of adding rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Added {
    /// Rules that were added.
    pub added: Vec<Rule>,
    /// How many were there before.
    pub unchanged: usize,
}

/// The result of replacing all rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Replaced {
    /// What the new rules have changed.
    pub new: Added,
    /// Old rules that were removed.
    pub removed: Vec<Rule>,
}

impl Watch {
    /// Wraps the maps `WATCH`, `PREFIXES` and `SHAPES`.
    pub fn new(rules: Map, prefixes: Map, shapes: Map) -> Result<Self, MapError> {
        Ok(Self { rules: rules.try_into()?, prefixes: prefixes.try_into()?, shapes: shapes.try_into()? })
    }

    fn insert(&mut self, key: &Key) -> Result<(), MapError> {
        match key {
            Key::Exact(key) => self.rules.insert(key, 0, NO_EXIST),
            Key::Prefix(bits, key) => self.prefixes.insert(&lpm_trie::Key::new(*bits, *key), 0, NO_EXIST),
        }
    }

    fn delete(&mut self, key: &Key) -> Result<(), MapError> {
        match key {
            Key::Exact(key) => self.rules.remove(key),
            Key::Prefix(bits, key) => self.prefixes.remove(&lpm_trie::Key::new(*bits, *key)),
        }
    }

    /// Iterates over the keys of both maps.
    fn keys(&self) -> impl Iterator<Item = Result<Key, MapError>> {
        let prefix = |key: lpm_trie::Key<PrefixKey>| Key::Prefix(key.prefix_len(), key.data());
        let prefixes = self.prefixes.keys().map(move |key| key.map(prefix));
        self.rules.keys().map(|key| key.map(Key::Exact)).chain(prefixes)
    }

    /// Adds all of `rules`, or none of them.
    pub fn add(&mut self, rules: &[Rule]) -> Result<Added, WatchError> {
        let mut shapes = self.shapes.get(&0, 0)?;
        let mut added = Vec::new();
        for rule in rules {
            let key = rule.key();
            match self.insert(&key) {
                Ok(()) => added.push(*rule),
                Err(error) if is_present(&error) => {}
                Err(error) => {
                    for rule in added {
                        // A failed rollback matters less than the first error.
                        let _ = self.delete(&rule.key());
                    }
                    // A full LPM trie returns ENOSPC, a full hash E2BIG.
                    let is_full = matches!(os_error(&error), Some(libc::E2BIG | libc::ENOSPC));
                    return Err(if is_full { WatchError::Full } else { error.into() });
                }
            }
            shapes |= key.shape();
        }
        // The shapes follow the rules: a shape without a rule costs a useless lookup, a rule without its shape loses
        // connections.
        self.shapes.set(0, shapes, 0)?;
        Ok(Added { unchanged: rules.len().saturating_sub(added.len()), added })
    }

    /// Removes `rules`, and returns those that were not there.
    pub fn remove(&mut self, rules: &[Rule]) -> Result<Vec<Rule>, WatchError> {
        let (mut missing, mut removed_shapes) = (Vec::new(), 0);
        for rule in rules {
            let key = rule.key();
            match self.delete(&key) {
                Ok(()) => removed_shapes |= key.shape(),
                Err(error) if is_absent(&error) => missing.push(*rule),
                Err(error) => return Err(error.into()),
            }
        }
        if removed_shapes != 0 {
            let mut left = 0;
            for key in self.keys() {
                left |= key?.shape();
                if left & removed_shapes == removed_shapes {
                    break;
                }
            }
            let shapes = self.shapes.get(&0, 0)?;
            self.shapes.set(0, shapes & (left | !removed_shapes), 0)?;
        }
        Ok(missing)
    }

    /// Replaces all rules by `rules`. The new ones are added before the old ones are removed, so both must fit.
    pub fn set(&mut self, rules: &[Rule]) -> Result<Replaced, WatchError> {
        let mut old = self.list()?;
        let new = self.add(rules)?;
        let wanted: HashSet<_> = rules.iter().collect();
        old.retain(|rule| !wanted.contains(rule));
        self.remove(&old)?;
        Ok(Replaced { new, removed: old })
    }

    /// Removes every rule, and returns how many there were.
    pub fn clear(&mut self) -> Result<usize, WatchError> {
        // Without shapes nothing is watched, even while there are rules.
        self.shapes.set(0, 0, 0)?;
        let keys = self.keys().collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            match self.delete(key) {
                Err(error) if !is_absent(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(keys.len())
    }

    /// Returns the rules, sorted.
    pub fn list(&self) -> Result<Vec<Rule>, WatchError> {
        let mut rules = Vec::new();
        for key in self.keys() {
            rules.extend(Rule::from_key(&key?));
        }
        rules.sort_unstable();
        Ok(rules)
    }

    /// Returns the number of rules.
    pub fn count(&self) -> Result<usize, WatchError> {
        Ok(self.keys().try_fold(0, |count, key| key.map(|_| count + 1))?)
    }

    /// Returns whether a rule watches `client`. `has_port` says whether its port is known.
    pub fn contains(&self, client: &Client, has_port: bool) -> Result<bool, WatchError> {
        let shapes = self.shapes.get(&0, 0)?;
        // A failed lookup counts as watched, so that no connection is dropped by mistake.
        let is_there =
            |result: Result<u32, MapError>| result.map_or_else(|error| !is_absent(&error), |_| true);
        Ok(is_watched(
            shapes,
            client,
            has_port,
            |key| is_there(self.rules.get(key, 0)),
            |key| is_there(self.prefixes.get(&lpm_trie::Key::new(PrefixKey::BITS, *key), 0)),
        ))
    }
}

/// Returns whether a map reported that it has no such key.
pub(super) fn is_absent(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound) || os_error(error) == Some(libc::ENOENT)
}

/// Returns whether a map reported that it has the key already.
pub(super) fn is_present(error: &MapError) -> bool {
    os_error(error) == Some(libc::EEXIST)
}

fn os_error(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

/// Waits until every program run that may have looked up rules before this call has ended. Fails on kernels that keep
/// CPUs free of interrupts (`nohz_full`) and on kernels without the system call.
pub fn wait_for_programs() -> io::Result<()> {
    // `MEMBARRIER_CMD_GLOBAL` of `linux/membarrier.h`: the kernel waits for an RCU grace period, and programs at the
    // ingress hook run in an RCU read-side critical section.
    const GLOBAL: libc::c_long = 1;
    // SAFETY: `membarrier(2)` takes integers and no pointer.
    if unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
