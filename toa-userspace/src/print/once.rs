//! Remembers which groups have had a request (`--once-by`).

use std::num::NonZeroUsize;

use foldhash::fast::RandomState;
use lru::LruCache;

use super::{group_by::GroupBy, redact::Redactor};
use crate::{http::head::HttpRequest, pipeline::connection::Connection};

/// Maximum number of groups that are remembered. One that was not seen for longest is forgotten, and would be new again.
const MAX_GROUPS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The groups that have had a request.
#[derive(Debug)]
pub struct Once {
    by: GroupBy,
    redactor: Redactor,
    groups: LruCache<Vec<u8>, (), RandomState>,
    key: Vec<u8>,
}

impl Once {
    /// Remembers no group yet.
    pub fn new(by: GroupBy, redactor: Redactor) -> Self {
        Self {
            by,
            redactor,
            groups: LruCache::with_hasher(MAX_GROUPS, RandomState::default()),
            key: Vec::new(),
        }
    }

    /// Returns whether a request is the first one of its group.
    pub fn is_first(&mut self, connection: &Connection, request: &HttpRequest<'_>) -> bool {
        self.by.write_key(connection, Some(request), &self.redactor, &mut self.key);
        let is_first = self.groups.get(&self.key).is_none();
        if is_first {
            self.groups.put(self.key.clone(), ());
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{print::tests::first_request, segment::tests::segment};

    #[test]
    fn a_group_is_new_once_as_long_as_it_is_remembered() {
        let mut once = Once::new("header:x-team".parse().unwrap(), Redactor::default());
        once.groups.resize(NonZeroUsize::new(2).unwrap());
        let connection = Connection::new(1, &segment(1, 0, b""));
        let firsts = ["a", "b", "a", "c", "a", "b"].map(|team| {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-team: {team}\r\n\r\n");
            once.is_first(&connection, &first_request(head.as_bytes(), 0))
        });
        assert_eq!(firsts, [true, true, false, true, false, true]);
    }
}
