//! What is shown of requests, in every format.

use super::{field_choice::FieldChoice, redact::Redactor};

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What is hidden in targets and fields.
    pub redactor: Redactor,
    /// Which fields are shown.
    pub fields: FieldChoice,
}

impl From<Redactor> for View {
    fn from(redactor: Redactor) -> Self {
        Self { redactor, fields: FieldChoice::default() }
    }
}
