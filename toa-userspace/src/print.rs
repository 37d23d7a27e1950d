//! Responsible for how results look. Not responsible for where they are written.

pub mod escape;
pub mod explain;
pub mod json;
pub mod limited;
pub mod redact;
pub mod summary;
pub mod text;
