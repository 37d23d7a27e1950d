//! The command `completions`: prints a shell's completions.

use anyhow::Result;
use clap::CommandFactory as _;

use crate::{
    cli::{Cli, completions::CompletionsArgs},
    printer::print,
};

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    // In bash, `clap_complete` takes the hyphen in the name for a subcommand in one of two places, and completes no options.
    print(&String::from_utf8_lossy(&text).replace("toa__subcmd__tc", "toa__tc"))
}
