//! Terminal sessions for the documentation: recorded from real runs in the lab, and drawn as SVG.

pub mod sessions;
mod terminal;

use std::{fs, io, path::PathBuf};

use anstyle_svg::Term;
use anyhow::{Context as _, Result};
use regex::Regex;

/// What differs from run to run and from host to host, and what takes its place in comparisons.
const VARYING: [(&str, &str); 6] = [
    // What `doctor` finds out. The names of its checks remain.
    ("(?m)((?:ok|warn|fail) +[a-zA-Z ]+): [^<\n]*", "$1"),
    (r"\((?:tcx|netlink)[^)]*\)", "(HOOK)"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
    (r"\d\d:\d\d:\d\d\.\d{6}", "TIME"),
    // Those of clients and of the balancer; the server's has two digits.
    (r":\d{4,5}\b", ":PORT"),
    // The size of the picture, which depends on the longest line.
    (r#" (?:width|height|viewBox)="[^"]*""#, ""),
];

/// A recorded session.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The name of its file, without the extension.
    pub name: &'static str,
    /// What the terminal showed, with ANSI escape sequences.
    shown: String,
}

impl Recording {
    /// Returns the path of its file.
    pub fn path(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "sessions", &format!("{}.svg", self.name)].iter().collect()
    }

    /// Draws it.
    pub fn svg(&self) -> String {
        Term::new().render_svg(self.shown.trim_end())
    }

    /// Writes its file.
    pub fn save(&self) -> Result<()> {
        let path = self.path();
        fs::write(&path, self.svg()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns whether its file shows the same, but for what varies.
    pub fn is_up_to_date(&self) -> Result<bool> {
        match fs::read_to_string(self.path()) {
            Ok(saved) => Ok(without_varying(&saved)? == without_varying(&self.svg())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path().display())),
        }
    }
}

/// Replaces what differs from run to run.
fn without_varying(svg: &str) -> Result<String> {
    VARYING.iter().try_fold(svg.to_owned(), |text, (pattern, replacement)| {
        Ok(Regex::new(pattern)?.replace_all(&text, *replacement).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(shown: &str) -> String {
        without_varying(&Recording { name: "test", shown: shown.to_owned() }.svg()).unwrap()
    }

    #[test]
    fn what_varies_is_no_difference() {
        let one = "$ toa-tc doctor\nok    kernel: 6.18\n$ toa-tc attach web0\ntoa-tc: attached to web0 (tcx, first)\n\
                   09:24:35.322319 120.120.111.111:50782 > 10.9.0.2:80 (via 10.9.0.1:44983) GET /orders HTTP/1.1\n\
                   payments  6  3  2026-11-27 09:24:35\n";
        let other = "$ toa-tc doctor\nwarn  kernel: 5.15 is old\n$ toa-tc attach web0\n\
                     toa-tc: attached to web0 (netlink)\n\
                     10:00:00.000000 120.120.111.111:1024 > 10.9.0.2:80 (via 10.9.0.1:9999) GET /orders HTTP/1.1\n\
                     payments  6  3  2027-01-01 10:00:00\n"
            .replace("warn", "ok  ");
        assert_eq!(drawn(one), drawn(&other));
    }

    #[test]
    fn every_other_text_and_color_is_a_difference() {
        assert_ne!(drawn("ok    kernel: 6.18\n"), drawn("warn  kernel: 6.18\n"));
        assert_ne!(drawn("GET /orders\n"), drawn("GET /items\n"));
        assert_ne!(drawn("payments  6  3\n"), drawn("payments  6  4\n"));
        assert_ne!(drawn("GET\n"), drawn("\x1b[1mGET\x1b[0m\n"));
    }
}
