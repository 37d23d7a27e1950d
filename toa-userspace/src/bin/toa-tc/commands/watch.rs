//! The command `watch`: changes what a running `attach` watches.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use serde::Serialize;
use toa_common::rule_change::{ChangeRecord, kind};
use toa_userspace::{
    live::{
        host::users::user_name,
        maps::watch::{Added, Replaced, Watch, wait_for_programs},
        runs::Run,
    },
    print::{count::plural, push_fmt},
    rule::Rule,
};

use super::{find_runs, hint_at_ports, leftovers::remove_pins};
use crate::{
    cli::{
        run::ReportFormat,
        watch::{Change, RuleArg, WatchArgs, WatchedRun},
    },
    error::{NothingFound, UsageError},
    format::json,
    printer::print,
    rule_list, stderr,
};

/// What a command has changed.
#[derive(Default, Serialize)]
struct Changed {
    pid: u32,
    added: usize,
    /// Rules to add that were there.
    already_watched: usize,
    removed: usize,
    /// Rules to remove that were not there.
    not_watched: usize,
    /// How many rules there are now.
    rules: usize,
    /// Connections that are no longer followed.
    dropped: usize,
}

/// The rules of a run.
#[derive(Serialize)]
struct Watched {
    pid: u32,
    watched: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: WatchArgs) -> Result<()> {
    let WatchedRun { run, output } = args.change.run();
    let output = *output;
    // Before a run is looked for: waiting for stdin takes time.
    let rules = match &args.change {
        Change::Add { rules, .. } => RuleArg::rules(rules)?,
        Change::Remove { rules, .. } => rules.clone(),
        Change::Set { file, .. } => rule_list::read(file)?,
        Change::List { .. } | Change::Clear { .. } => Vec::new(),
    };
    let rules = without_repetitions(rules);
    let mut runs = find_runs(&run.pins)?;
    remove_pins(&mut runs);
    let run = run.single(&runs)?;
    let changed = match args.change {
        Change::Add { .. } => add(changeable(run)?, &rules),
        Change::Remove { .. } => remove(changeable(run)?, &rules),
        Change::Set { .. } => set(changeable(run)?, &rules),
        Change::List { .. } => return list(run, output),
        Change::Clear { .. } => clear(changeable(run)?),
    };
    if output == ReportFormat::Json { print(&json(&changed?)?) } else { changed.map(drop) }
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

fn add(run: &Run, rules: &[Rule]) -> Result<Changed> {
    hint_at_ports(rules);
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let Added { added, unchanged } = watch.add(rules)?;
    run.note_addition()?;
    let (changed, total) = (added.len(), watch.count()?);
    note(run, kind::ADDED, &added, total)?;
    let known = if unchanged > 0 { format!(" ({unchanged} already there)") } else { String::new() };
    say(run, format_args!("{} added{known}, {} now", plural(changed, "rule"), plural(total, "rule")));
    Ok(Changed { added: changed, already_watched: unchanged, rules: total, ..Changed::of(run) })
}

fn remove(run: &Run, rules: &[Rule]) -> Result<Changed> {
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let missing = watch.remove(rules)?;
    let is_missing: HashSet<_> = missing.iter().collect();
    let removed: Vec<_> = rules.iter().filter(|rule| !is_missing.contains(rule)).copied().collect();
    let dropped = end_following(run, &watch)?;
    let total = watch.count()?;
    note(run, kind::REMOVED, &removed, total)?;
    let removed = removed.len();
    say(
        run,
        format_args!(
            "{} removed, {} now, {} dropped",
            plural(removed, "rule"),
            plural(total, "rule"),
            plural(dropped, "connection")
        ),
    );
    for rule in &missing {
        stderr::info(format_args!("not watched: {rule}"));
    }
    Ok(Changed { removed, not_watched: missing.len(), rules: total, dropped, ..Changed::of(run) })
}

fn set(run: &Run, rules: &[Rule]) -> Result<Changed> {
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let Replaced { new: Added { added, unchanged }, removed } = watch.set(rules)?;
    run.note_addition()?;
    let dropped = end_following(run, &watch)?;
    let total = watch.count()?;
    note(run, kind::ADDED, &added, total)?;
    note(run, kind::REMOVED, &removed, total)?;
    let (added, removed) = (added.len(), removed.len());
    say(
        run,
        format_args!(
            "{} added, {removed} removed, {total} now, {} dropped",
            plural(added, "rule"),
            plural(dropped, "connection")
        ),
    );
    Ok(Changed { added, already_watched: unchanged, removed, rules: total, dropped, ..Changed::of(run) })
}

fn clear(run: &Run) -> Result<Changed> {
    let _lock = run.lock()?;
    let mut watch = run.watch()?;
    let rules = watch.list()?;
    let removed = watch.clear()?;
    let dropped = end_following(run, &watch)?;
    note(run, kind::REMOVED, &rules, 0)?;
    say(
        run,
        format_args!(
            "{} removed, none now, {} dropped",
            plural(removed, "rule"),
            plural(dropped, "connection")
        ),
    );
    Ok(Changed { removed, dropped, ..Changed::of(run) })
}

/// Prints the rules.
fn list(run: &Run, output: ReportFormat) -> Result<()> {
    let rules = run.watch()?.list()?;
    match output {
        ReportFormat::Json => {
            let watched = rules.iter().map(ToString::to_string).collect();
            print(&json(&Watched { pid: run.info.pid, watched })?)?;
        }
        ReportFormat::Text => {
            let mut text = String::new();
            for rule in &rules {
                push_fmt(&mut text, format_args!("{rule}\n"));
            }
            print(&text)?;
        }
    }
    if rules.is_empty() {
        return Err(NothingFound(format!("nothing is watched ({run})")).into());
    }
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

/// Tells the run, which reports it, that we have changed these rules. The caller must hold the lock.
fn note(run: &Run, kind: u32, rules: &[Rule], total: usize) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let user = rustix::process::getuid().as_raw();
    let mut change = ChangeRecord::new(kind, std::process::id(), user);
    change.set_user_name(&user_name(user).unwrap_or_default());
    for rule in rules {
        change.add_rule(&rule.to_string());
    }
    change.total = total as u64;
    Ok(run.note_change(change)?)
}

fn without_repetitions(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn say(run: &Run, text: std::fmt::Arguments<'_>) {
    stderr::info(format_args!("{text} ({run})"));
}

impl Changed {
    /// Nothing of a run.
    fn of(run: &Run) -> Self {
        Self { pid: run.info.pid, ..Self::default() }
    }
}
