//! The terminal: whether there is one, its size, and texts that fit its width.

use std::{
    env,
    io::{self, IsTerminal as _},
    os::fd::AsFd,
};

use rustix::termios::tcgetwinsize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Takes the place of the rest of a text.
const REST: &str = "…";

/// The columns and rows of a terminal that tells none.
pub(crate) const USUAL: (u16, u16) = (80, 24);

/// Returns whether both stdin and stdout are a terminal that can move its cursor.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb()
}

/// Returns whether the terminal has no control sequences.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Returns the columns and rows of the terminal that stdout is, if they are known.
pub(crate) fn size() -> Option<(u16, u16)> {
    size_of(io::stdout())
}

/// Returns the same of another terminal.
pub(crate) fn size_of(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Returns the number of columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Shortens a text to this number of columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut kept, mut left) = (String::new(), columns.saturating_sub(width(REST)));
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(letter.width().unwrap_or(0)) else { break };
        kept.push(letter);
        left = rest;
    }
    if columns > 0 {
        kept.push_str(REST);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_columns() {
        assert_eq!(cut("payments", 8), "payments");
        assert_eq!(cut("payments", 5), "paym…");
        // Each of these takes two columns.
        assert_eq!(cut("支付支付", 8), "支付支付");
        assert_eq!(cut("支付支付", 7), "支付支…");
        assert_eq!(cut("支付支付", 6), "支付…");
        assert_eq!(cut("payments", 0), "");
    }
}
