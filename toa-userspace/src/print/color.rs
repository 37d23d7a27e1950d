//! Colors of text on a terminal (`--color`).

use anstyle::{AnsiColor, Style};

/// The control sequences before and after a part of a line. Without colors, they are empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Colored {
    begin: Vec<u8>,
    end: Vec<u8>,
}

impl Colored {
    fn new(style: Style) -> Self {
        Self {
            begin: style.render().to_string().into_bytes(),
            end: style.render_reset().to_string().into_bytes(),
        }
    }

    /// Appends what `append` appends to its argument, in color if that is anything.
    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
        if self.begin.is_empty() {
            return append(out);
        }
        let start = out.len();
        out.extend_from_slice(&self.begin);
        let begin = out.len();
        append(out);
        if out.len() == begin {
            out.truncate(start);
        } else {
            out.extend_from_slice(&self.end);
        }
    }
}

/// The colors of the parts of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Colors {
    pub(super) time: Colored,
    pub(super) client: Colored,
    /// The request line.
    pub(super) request: Colored,
    /// What the reader should know before believing a request, and what is no request.
    pub(super) mark: Colored,
    /// The names of fields.
    pub(super) name: Colored,
}

impl Colors {
    /// The colors for a terminal: those that it shows legibly on any background.
    pub(super) fn of_terminal() -> Self {
        Self {
            time: Colored::new(Style::new().dimmed()),
            client: Colored::new(Style::new().bold()),
            request: Colored::new(AnsiColor::Green.on_default()),
            mark: Colored::new(AnsiColor::Yellow.on_default()),
            name: Colored::new(AnsiColor::Cyan.on_default()),
        }
    }
}
