//! The command `watch`: changes what a running `attach` watches.

use anyhow::{Context as _, Result};
use toa_userspace::{
    live::{
        maps::watch::{Watch, wait_for_programs},
        runs::Run,
    },
    print::{count::plural, push_fmt},
    rule::Rule,
};

use super::{find_runs, hint_at_ports, leftovers::remove_pins};
use crate::{
    cli::watch::{Change, WatchArgs},
    error::{AlreadyReported, UsageError},
    printer::print,
    stderr,
};

/// Runs the command.
pub(crate) fn run(args: WatchArgs) -> Result<()> {
    let (Change::Add { run, .. } | Change::Remove { run, .. } | Change::List { run } | Change::Clear { run }) =
        &args.change;
    let mut runs = find_runs(&run.pins)?;
    remove_pins(&mut runs);
    let run = run.single(&runs)?;
    match args.change {
        Change::Add { rules, .. } => add(changeable(run)?, rules),
        Change::Remove { rules, .. } => remove(changeable(run)?, rules),
        Change::List { .. } => list(run),
        Change::Clear { .. } => clear(changeable(run)?),
    }
}

/// Returns the run if its rules can change. With --any-flow, the run itself compares them with each client.
fn changeable(run: &Run) -> Result<&Run> {
    if run.info.follows_any() {
        return Err(
            UsageError(format!("the rules of a run with --any-flow cannot be changed ({run})")).into()
        );
    }
    Ok(run)
}

fn add(run: &Run, rules: Vec<Rule>) -> Result<()> {
    let rules = without_repetitions(rules);
    hint_at_ports(&rules);
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let added = watch.add(&rules)?;
    run.note_addition()?;
    let (changed, total) = (added.changed, watch.count()?);
    let known =
        if added.unchanged > 0 { format!(" ({} already there)", added.unchanged) } else { String::new() };
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
            "{} removed, {} now, {} dropped",
            plural(removed, "rule"),
            plural(watch.count()?, "rule"),
            plural(ended, "connection")
        ),
    );
    if missing.is_empty() {
        return Ok(());
    }
    for rule in missing {
        stderr::line(format_args!("not watched: {rule}"));
    }
    Err(AlreadyReported.into())
}

fn list(run: &Run) -> Result<()> {
    let mut text = String::new();
    for rule in run.watch()?.list()? {
        push_fmt(&mut text, format_args!("{rule}\n"));
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
            "{} removed, none now, {} dropped",
            plural(removed, "rule"),
            plural(ended, "connection")
        ),
    );
    Ok(())
}

/// Drops connections that no rule matches, and returns how many.
fn end_following(run: &Run, watch: &Watch) -> Result<usize> {
    let mut flows = run.flows()?;
    // A program that found the rule a moment ago may still be about to insert the connection. If the kernel cannot wait
    // for it, that window is a microsecond.
    let _ = wait_for_programs();
    let is_watched = |client: &_, has_port| watch.contains(client, has_port).map_err(anyhow::Error::new);
    let unwatched = flows.unwatched(is_watched)?;
    // Before they are removed, or the run could count them as evicted.
    run.add_removed_flows(unwatched.len())?;
    flows.end(&unwatched, is_watched).context("cannot drop connections")
}

fn without_repetitions(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn say(run: &Run, text: std::fmt::Arguments<'_>) {
    stderr::line(format_args!("{text} ({run})"));
}
