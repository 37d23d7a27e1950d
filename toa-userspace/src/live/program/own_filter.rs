//! A netlink filter of this process. In contrast to a TCX link, nothing in the kernel ties it to us: others may remove
//! it, and it survives us. So we look before we remove it.

use crate::live::program::filters::{self, Filter};

/// A filter that we have added. Dropping it removes it, but not one that somebody has put in its place, which needs
/// `CAP_NET_ADMIN`.
#[derive(Debug)]
pub(crate) struct OwnFilter {
    pub(crate) index: u32,
    pub(crate) priority: u16,
    pub(crate) handle: u32,
    pub(crate) program: u32,
}

impl OwnFilter {
    /// Returns whether a filter of the interface is this one.
    pub(crate) fn is(&self, filter: &Filter) -> bool {
        (filter.priority, filter.handle, filter.program) == (self.priority, self.handle, Some(self.program))
    }
}

impl Drop for OwnFilter {
    fn drop(&mut self) {
        let filters = filters::ingress(self.index).unwrap_or_default();
        if let Some(filter) = filters.iter().find(|filter| self.is(filter)) {
            // The next run tries again.
            let _ = filters::remove(self.index, filter);
        }
    }
}
