//! What the check has shown of a kernel, as a row of a table.

use std::fmt::{self, Display, Formatter};

/// Head of the table.
pub(super) const HEAD: &str = "| kernel | programs that load | most instructions verified | attached by | check |\n\
                               |---|---|---|---|---|";

/// A row, which is read from the lines that the check prints.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The kernel's release.
    kernel: String,
    /// Number of programs that it has loaded.
    programs: u32,
    /// The largest number of instructions that the verifier processed for a program, unless the kernel does not tell.
    verified: Option<u32>,
    /// How the tool was attached.
    mode: Option<String>,
    /// Whether everything passed.
    pub(super) passed: bool,
}

impl Row {
    /// Takes a line into account.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(kernel) = line.strip_prefix("vm: Linux ") {
            kernel.clone_into(&mut self.kernel);
        } else if let Some(mode) = line.strip_prefix("vm: attached (").and_then(|it| it.split_once(')')) {
            self.mode = Some(mode.0.to_owned());
        } else if let Some((_, count)) = line.split_once(": processed ") {
            self.programs += 1;
            self.verified = self.verified.max(count.split(' ').next().and_then(|it| it.parse().ok()));
        } else if line.contains(": accepted; ") {
            self.programs += 1;
        }
    }
}

impl Display for Row {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let verified = self.verified.map_or("not told".to_owned(), |it| it.to_string());
        let mode = self.mode.as_deref().unwrap_or("-");
        let result = if self.passed { "passed" } else { "failed" };
        write!(formatter, "| {} | {} | {verified} | {mode} | {result} |", self.kernel, self.programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_check_prints_becomes_a_row() {
        let mut row = Row { passed: true, ..Row::default() };
        for line in [
            "vm: Linux 6.12.1-cloud-amd64",
            "toa-ingress: toa_ingress_eth: processed 400001 insns",
            "toa-sockets: toa_sockets: processed 300 insns",
            "vm: attached (tcx), followed a connection, left nothing",
            "vm: tags are in the records",
        ] {
            row.read(line);
        }
        assert_eq!(row.to_string(), "| 6.12.1-cloud-amd64 | 2 | 400001 | tcx | passed |");

        let mut row = Row::default();
        row.read(
            "toa-ingress: toa_ingress_eth: accepted; this kernel does not tell how many insns it processed",
        );
        assert_eq!(row.to_string(), "|  | 1 | not told | - | failed |");
    }
}
