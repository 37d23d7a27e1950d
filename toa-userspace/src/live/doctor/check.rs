//! What a check of the host has found.

/// The result of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No problem was found.
    Ok,
    /// Something will not work or could not be checked, but `attach` will work.
    Warn,
    /// `attach` will not work.
    Fail,
}

impl State {
    /// Returns the name in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The subject of the check.
    pub name: &'static str,
    /// The result.
    pub state: State,
    /// The finding, as text.
    pub found: String,
    /// The remedy, if there is one.
    pub advice: Option<String>,
}

/// Returns a check.
pub(super) fn check(
    name: &'static str,
    state: State,
    found: impl Into<String>,
    advice: Option<&str>,
) -> Check {
    Check { name, state, found: found.into(), advice: advice.map(str::to_owned) }
}

/// Returns the message of the innermost error.
pub(super) fn last_source(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
