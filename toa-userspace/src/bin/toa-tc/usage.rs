//! Usage errors: one line with what was probably meant and the help to read.

use std::env;

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use toa_userspace::nearest::nearest;

use crate::{cli::Cli, stderr};

/// Reports an error of the command-line parser.
pub(crate) fn report(error: &clap::Error) {
    let text = error.to_string();
    // clap lists missing arguments on lines of their own.
    let mut lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut line = lines.fold(first, |line, more| format!("{line} {more}"));
    let command = called();
    if let Some(hint) = habit(error, &command).or_else(|| suggestion(error, &command)) {
        line.push_str(": ");
        line.push_str(&hint);
    }
    report_line(&line, &command);
}

/// Reports an error that was found after parsing. One of several lines already says what to do.
pub(crate) fn report_late(error: &anyhow::Error) {
    let text = error.to_string();
    if text.contains('\n') {
        stderr::error(format_args!("{text}"));
    } else {
        report_line(&text, &called());
    }
}

fn report_line(line: &str, command: &str) {
    stderr::error(format_args!("{line} (see {command} --help)"));
}

/// Returns the name of the command that was called. Arguments may be any bytes.
fn called() -> String {
    command(env::args_os().skip(1).map_while(|argument| argument.into_string().ok()))
}

/// Returns the name of the command that these arguments call, or ask help for, as far as they name one.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let root = Cli::command();
    let (mut command, mut name) = (&root, "toa-tc".to_owned());
    for argument in arguments.enumerate().filter_map(|(at, it)| (at > 0 || it != "help").then_some(it)) {
        let Some(subcommand) = command.find_subcommand(&argument) else { break };
        command = subcommand;
        name.push(' ');
        name.push_str(subcommand.get_name());
    }
    name
}

/// Returns a question after the command, option or value that clap finds most similar.
fn suggestion(error: &clap::Error, called: &str) -> Option<String> {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let meant = kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(name.as_str()),
        // The most similar one is the last.
        ContextValue::Strings(names) => names.last().map(String::as_str),
        _ => None,
    });
    let meant = meant.map(str::to_owned).or_else(|| subcommand(error, called));
    meant.map(|meant| format!("did you mean {meant}?"))
}

/// Returns the command after `help` that was probably meant, which clap does not look for.
fn subcommand(error: &clap::Error, called: &str) -> Option<String> {
    let ContextValue::String(typed) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    let root = Cli::command();
    let within = called.split(' ').skip(1).try_fold(&root, |command, name| command.find_subcommand(name))?;
    nearest(typed, within.get_subcommands().map(clap::Command::get_name)).map(str::to_owned)
}

/// Returns a hint for those who are used to other programs.
fn habit(error: &clap::Error, command: &str) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else { return None };
    match (command, argument.as_str()) {
        ("toa-tc attach" | "toa-tc clients" | "toa-tc top", "-i" | "--iface" | "--interface") => {
            Some(format!("give the interface without an option, as in {command} eth0"))
        }
        (_, "-i" | "--interface") => Some("did you mean --iface?".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_the_called_command_is_named() {
        let named = |arguments: &[&str]| command(arguments.iter().map(|argument| (*argument).to_owned()));
        assert_eq!(named(&[]), "toa-tc");
        assert_eq!(named(&["atach", "eth0"]), "toa-tc");
        assert_eq!(named(&["attach", "watch"]), "toa-tc attach");
        assert_eq!(named(&["watch", "rm", "list"]), "toa-tc watch remove");
        assert_eq!(named(&["help", "watch", "ad"]), "toa-tc watch");
    }
}
