//! What a value contains, as far as redaction and escaping go.

/// What a value contains. Of two parts of a value, the lesser is that of the whole.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Content {
    /// Perhaps a secret.
    Doubtful,
    /// No secret.
    Harmless,
    /// No secret, and nothing to escape.
    Plain,
}
