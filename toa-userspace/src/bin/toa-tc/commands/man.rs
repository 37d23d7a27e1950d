//! The command `man`: writes man pages from the same texts as `--help`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::cli::{Cli, man::ManArgs};

/// What precedes the examples in a help text.
const EXAMPLES: &str = "Examples:";

/// What precedes the exit codes in a help text.
const EXIT_CODE: &str = "Exit code: ";

/// Runs the command.
pub(crate) fn run(args: &ManArgs) -> Result<()> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    write(&root, &args.directory)
}

/// Writes the pages of a command and of those below it.
fn write(command: &Command, directory: &Path) -> Result<()> {
    // `clap_mangen` leaves out the help of options that only the long help shows.
    let command = command.clone().mut_args(|arg| arg.hide_short_help(false));
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write(below, directory)?;
    }
    let source = concat!("toa-tc ", env!("CARGO_PKG_VERSION"));
    // No version of its own, which would be a section.
    let man = Man::new(command.clone()).source(source).manual("toa-tc");
    let path = directory.join(man.get_filename());
    fs::write(&path, page(&command, &man)?).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns a page. `clap_mangen` would fill the lines of the examples.
fn page(command: &Command, man: &Man) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|it| !it.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    after_help(&help).to_writer(&mut page)?;
    Ok(page)
}

/// Returns the sections that are at the end of a help text: examples as they are, then paragraphs.
fn after_help(help: &str) -> Roff {
    let mut roff = Roff::new();
    let paragraphs = help.split("\n\n");
    for paragraph in paragraphs {
        if let Some(examples) = paragraph.strip_prefix(EXAMPLES) {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines().filter(|line| !line.is_empty()) {
                roff.text([roman(line.trim_start())]);
            }
            roff.control("fi", []);
        } else if let Some(codes) = paragraph.strip_prefix(EXIT_CODE) {
            roff.control("SH", ["EXIT STATUS"]).text([roman(codes.replace('\n', " "))]);
        } else {
            roff.control("PP", []).text([roman(paragraph.replace('\n', " "))]);
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_examples_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        run(&ManArgs { directory: directory.path().to_owned() }).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        let attach = read("toa-tc-attach.1");
        for part in [
            ".SH EXAMPLES\n.nf\nsudo toa\\-tc attach eth0",
            ".fi\n.SH \"EXIT STATUS\"\n0 if",
            ".SH SELECTION",
            "connections at a time",
        ] {
            assert!(attach.contains(part), "{part}\n{attach}");
        }
        assert!(read("toa-tc.1").contains("toa\\-tc\\-attach(1)"));
        assert!(read("toa-tc-watch-add.1").contains(".SH EXAMPLES"));
        assert!(!directory.path().join("toa-tc-man.1").exists());
    }
}
