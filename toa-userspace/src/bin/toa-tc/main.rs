//! The `toa-tc` binary: parses the command line, runs the command, and sets the exit code.

mod capture_file;
mod cli;
mod commands;
mod error;
mod format;
mod otlp;
mod output_file;
mod printer;
mod rule_list;
mod screen;
mod signals;
mod stderr;
mod stdout;
mod terminal;
mod time_zone;
mod top;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use error::{AlreadyReported, NothingFound, UsageError};
use toa_userspace::live::host::signal;

/// Exit code for usage errors.
const USAGE: u8 = 2;

/// Exit code if there is nothing to show.
const NOTHING_FOUND: u8 = 3;

fn main() -> ExitCode {
    // At a limit of the size of files, a write then fails as on a full disk, and the ledger is printed.
    let _ = signal::ignore(libc::SIGXFSZ);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    if cli.command.prints_json() {
        stderr::use_json();
    }
    let result = match cli.command {
        Command::Attach(args) | Command::Clients(args) | Command::Top(args) if args.list_interfaces => {
            commands::interfaces::run(args.netns.as_deref())
        }
        Command::Attach(args) => commands::attach::run(args),
        Command::Clients(args) => commands::clients::run(args),
        Command::Top(args) => commands::top::run(args),
        Command::Read(args) => commands::read::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Status(args) => commands::status::run(&args),
        Command::Flows(args) => commands::flows::run(&args),
        Command::Filter(args) => commands::filter::run(args),
        Command::Detach(args) => commands::detach::run(&args),
        Command::Remember(args) => commands::remember::remember(&args),
        Command::Forget(args) => commands::remember::forget(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Schema(args) => commands::schema::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => {
            usage::report_late(&error);
            ExitCode::from(USAGE)
        }
        Err(error) if error.is::<NothingFound>() => {
            let text = error.to_string();
            if !text.is_empty() {
                stderr::info(format_args!("{text}"));
            }
            ExitCode::from(NOTHING_FOUND)
        }
        Err(error) if error.is::<AlreadyReported>() => ExitCode::FAILURE,
        Err(error) => {
            stderr::error(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    // What nobody can read was not reported.
    if stderr::flush() { code } else { ExitCode::FAILURE }
}

/// Prints what clap reports. `--help` and `--version` succeed; usage errors are printed as one line.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        // Nothing can be done if stderr is gone.
        _ = error.print();
        return code;
    }
    usage::report(error);
    ExitCode::from(USAGE)
}
