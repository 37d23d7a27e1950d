//! The parts of a request target (RFC 9112 section 3.2).

use std::ops::Range;

/// The parts, as ranges of redacted and escaped text. Neither adds or removes a separator.
#[derive(Debug)]
pub(super) struct TargetParts {
    /// `None` for targets without a path: `*` and `host:port`.
    pub(super) path: Option<Range<usize>>,
    /// `None` without a `?`.
    pub(super) query: Option<Range<usize>>,
}

impl TargetParts {
    /// Finds the parts of a target that begins at `start`.
    pub(super) fn of(target: &[u8], start: usize) -> Self {
        let Some(path_at) = path_at(target) else { return Self { path: None, query: None } };
        let origin = target.get(path_at..).unwrap_or_default();
        let end = memchr::memchr(b'#', origin).unwrap_or(origin.len());
        let query_at = memchr::memchr(b'?', origin).filter(|at| *at < end);
        let at = |offset: usize| start.saturating_add(path_at).saturating_add(offset);
        Self {
            path: Some(at(0)..at(query_at.unwrap_or(end))),
            query: query_at.map(|query| at(query.saturating_add(1))..at(end)),
        }
    }
}

/// Returns where the path of a target begins. In absolute-form, that is after the scheme and the authority.
fn path_at(target: &[u8]) -> Option<usize> {
    if target.starts_with(b"/") {
        return Some(0);
    }
    let scheme =
        target.windows(3).position(|window| window == b"://").filter(|len| is_scheme(target, *len))?;
    let authority = scheme.saturating_add(3);
    let end = target.get(authority..)?.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(end.map_or(target.len(), |end| authority.saturating_add(end)))
}

/// Returns whether the first `len` bytes are a scheme (RFC 3986 section 3.1).
fn is_scheme(bytes: &[u8], len: usize) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().take(len).all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}
