//! Responsible for the command `watch`. Not responsible for the maps.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use toa_userspace::{
    live::{
        runs::Run,
        watch::{Watch, wait_for_programs},
    },
    print::summary::Count,
    rule::Rule,
};

use super::{PickArgs, Said, find, print};
use crate::stderr;

/// Options of `watch`.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Change,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Watch these clients, too: the next packet that names one is followed, and of an attach --existing also what is open
    Add {
        /// IP, IP:PORT, `[IPv6]:PORT`, :PORT or any: the real client's
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        pick: PickArgs,
    },
    /// Watch these no more, and end the following of connections that no other rule matches
    ///
    /// A rule that is not there is said, and the exit code is 1; the others are removed all the same.
    Remove {
        /// The rule as `watch list` prints it
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        pick: PickArgs,
    },
    /// Print the rules, one a line
    List {
        #[command(flatten)]
        pick: PickArgs,
    },
    /// Watch nobody, and end the following of every connection
    Clear {
        #[command(flatten)]
        pick: PickArgs,
    },
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<()> {
    let runs = find()?;
    match args.change {
        Change::Add { rules, pick } => add(pick.one(&runs)?, rules),
        Change::Remove { rules, pick } => remove(pick.one(&runs)?, rules),
        Change::List { pick } => list(pick.one(&runs)?),
        Change::Clear { pick } => clear(pick.one(&runs)?),
    }
}

fn add(run: &Run, rules: Vec<Rule>) -> Result<()> {
    let rules = without_repetitions(rules);
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let added = watch.add(&rules)?;
    run.note_addition()?;
    let (changed, total) = (added.changed, watch.count()?);
    let known =
        if added.unchanged > 0 { format!(" ({} were there)", added.unchanged) } else { String::new() };
    say(run, format_args!("{} added{known}, {} now", plural(changed, "rule"), plural(total, "rule")));
    Ok(())
}

fn remove(run: &Run, rules: Vec<Rule>) -> Result<()> {
    let rules = without_repetitions(rules);
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let missing = watch.remove(&rules)?;
    let removed = rules.len().saturating_sub(missing.len());
    let ended = end_following(run, &watch)?;
    say(
        run,
        format_args!(
            "{} removed, {} now, {} no longer followed",
            plural(removed, "rule"),
            plural(watch.count()?, "rule"),
            plural(ended, "connection")
        ),
    );
    if missing.is_empty() {
        return Ok(());
    }
    for rule in missing {
        stderr::line(format_args!("{rule} was not watched"));
    }
    Err(Said.into())
}

fn list(run: &Run) -> Result<()> {
    let mut text = String::new();
    for rule in run.watch()?.list()? {
        // Memory does not refuse.
        let _ = writeln!(text, "{rule}");
    }
    print(&text)
}

fn clear(run: &Run) -> Result<()> {
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let removed = watch.clear()?;
    let ended = end_following(run, &watch)?;
    say(
        run,
        format_args!(
            "{} removed, none now, {} no longer followed",
            plural(removed, "rule"),
            plural(ended, "connection")
        ),
    );
    Ok(())
}

/// Ends the following of connections that no rule matches.
fn end_following(run: &Run, watch: &Watch) -> Result<usize> {
    let mut flows = run.flows()?;
    // A program that found the rule a moment ago may still be about to insert the connection. Where the kernel
    // cannot wait for it, that moment is a microsecond.
    let _ = wait_for_programs();
    let is_watched = |client: &_, has_port| watch.contains(client, has_port).map_err(anyhow::Error::new);
    let unwatched = flows.unwatched(is_watched)?;
    // Before they are removed, or the run could take them for evicted.
    run.add_removed_flows(unwatched.len())?;
    flows.end(&unwatched, is_watched).context("cannot end the following")
}

fn without_repetitions(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn say(run: &Run, text: std::fmt::Arguments<'_>) {
    stderr::line(format_args!("{text} ({run})"));
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", Count(count as u64))
}
