//! The comparison for a folder of captures.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cause::Cause,
    comparison::{Comparison, Side, compare},
};

/// Compares all captures below `directory`, prints the differences, and returns how many are unexplained or
/// captures could not be compared.
pub(crate) fn compare_all(directory: &Path) -> Result<usize> {
    let mut files = Vec::new();
    find(directory, &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "no capture is below {}", directory.display());
    let mut summary = Summary::default();
    for file in &files {
        let name = file.strip_prefix(directory).unwrap_or(file).display();
        let comparison = match compare(file) {
            Ok(comparison) => comparison,
            Err(error) => {
                println!("{name}: cannot be compared: {error:#}");
                summary.failed += 1;
                continue;
            }
        };
        if !comparison.differences.is_empty() {
            println!("{name}: {} requests of toa-tc, {} of tshark", comparison.ours, comparison.theirs);
            comparison.print();
        }
        summary.add(&comparison);
    }
    print!("{summary}");
    Ok(summary.unexplained() + summary.failed)
}

/// Adds the captures below a directory to `files`: those whose name says that they are.
fn find(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, files)?;
        } else if is_capture(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Returns whether a file's name is that of a capture. Rings of tcpdump have a number after it.
fn is_capture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.split('.').skip(1).any(|part| {
        let part = part.trim_end_matches(|char: char| char.is_ascii_digit());
        ["pcap", "pcapng", "cap", "ntar", "dump"].contains(&part)
    })
}

/// The counts of all captures.
#[derive(Debug, Default)]
struct Summary {
    captures: usize,
    /// Captures that could not be compared.
    failed: usize,
    ours: usize,
    theirs: usize,
    /// Differences by cause: only toa-tc's, only tshark's, different.
    differences: BTreeMap<Cause, [usize; 3]>,
}

impl Summary {
    fn add(&mut self, comparison: &Comparison) {
        self.captures += 1;
        self.ours += comparison.ours;
        self.theirs += comparison.theirs;
        for found in &comparison.differences {
            let [ours, theirs, both] = self.differences.entry(found.cause.clone()).or_default();
            *match found.side {
                Side::Ours => ours,
                Side::Theirs => theirs,
                Side::Both => both,
            } += 1;
        }
    }

    fn unexplained(&self) -> usize {
        self.differences.get(&Cause::Unexplained).map_or(0, |counts| counts.iter().sum())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.differences.is_empty() {
            writeln!(
                f,
                "{:<34}{:>12}{:>12}{:>12}",
                "differences", "only toa-tc", "only tshark", "both differ"
            )?;
        }
        let mut of_ours = 0;
        for (cause, [ours, theirs, both]) in &self.differences {
            writeln!(f, "{:<34}{ours:>12}{theirs:>12}{both:>12}", cause.to_string())?;
            of_ours += ours + both;
        }
        if self.failed > 0 {
            writeln!(f, "{} captures could not be compared", self.failed)?;
        }
        let Self { captures, ours, theirs, .. } = self;
        let (equal, unexplained) = (ours.saturating_sub(of_ours), self.unexplained());
        writeln!(
            f,
            "{captures} captures, {ours} requests of toa-tc, {theirs} of tshark: {equal} equal, \
             {unexplained} unexplained differences"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Found;

    #[test]
    fn captures_are_known_by_their_names() {
        for name in ["a.pcap", "a.pcapng", "a.pcap.gz", "a.PCAP", "ring.pcap12", "ring.pcap.3", "a.cap"] {
            assert!(is_capture(Path::new(name)), "{name}");
        }
        for name in ["expected.txt", "pcap", "run.sh", "a.pcap.d/README"] {
            assert!(!is_capture(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn every_difference_is_in_one_row_and_the_rest_is_equal() {
        let found = |side, cause| Found { side, cause, text: String::new() };
        let mut summary = Summary::default();
        summary.add(&Comparison { ours: 5, theirs: 5, differences: vec![] });
        let differences = vec![
            found(Side::Ours, Cause::OtherPort),
            found(Side::Theirs, Cause::Unexplained),
            found(Side::Both, Cause::Unexplained),
        ];
        summary.add(&Comparison { ours: 3, theirs: 3, differences });
        assert_eq!(summary.unexplained(), 2);
        let text = summary.to_string();
        assert!(
            text.ends_with("8 requests of toa-tc, 8 of tshark: 6 equal, 2 unexplained differences\n"),
            "{text}"
        );
        assert!(
            text.contains("tshark: no HTTP on this port                 1           0           0\n"),
            "{text}"
        );
    }
}
