//! Keeps the program attached to the interfaces of a run, and reports what happens to them.

use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use log::{Level, debug};
use toa_common::config::Config;
use toa_userspace::{
    live::{
        host::links::LinkChanges,
        program::{
            attachments::{Attachments, Change},
            load::Loaded,
        },
        runs::pins::Pins,
    },
    print::{count::plural, json::message::About},
    rule::Rule,
};
use tokio::time::{sleep, timeout};

use super::run_info::publish_interfaces;
use crate::stderr;

/// How often to look at the interfaces if no notification arrives. There are none about what runs at a hook.
const INTERVAL: Duration = Duration::from_secs(1);

/// Pause after a look. A single change of an interface causes several notifications.
const PAUSE: Duration = Duration::from_millis(20);

/// Attaches to the interfaces, and reports that and what the run follows. Returns the notifications of later changes, if
/// there are any.
pub(crate) fn start(
    attachments: &mut Attachments,
    loaded: &mut Loaded,
    rules: &[Rule],
    config: &Config,
) -> Result<Option<LinkChanges>> {
    // Before the first look, so that nothing is missed after it.
    let changes = LinkChanges::subscribe().inspect_err(|error| debug!("no notifications: {error}")).ok();
    for change in attachments.start(loaded)? {
        if matches!(change, Change::Attached { .. }) {
            let rules = plural(rules.len(), "rule");
            let any_flow = if config.follows_any() { ", with or without TOA" } else { "" };
            let about = About { interface: change.interface(), ..About::default() };
            stderr::note_about(format_args!("{change}, {rules}{any_flow}"), about);
        } else {
            report(&[change]);
        }
    }
    Ok(changes)
}

/// Follows what happens to the interfaces, until none is left that could be attached to. `changes` is `None` if there are
/// no notifications.
pub(crate) async fn follow_interfaces(
    attachments: &mut Attachments,
    loaded: &mut Loaded,
    mut changes: Option<LinkChanges>,
    pins: Option<&Pins>,
) -> Error {
    let mut is_published = true;
    while !attachments.is_over() {
        sleep(PAUSE).await;
        if wait(&mut changes).await {
            changes = None;
        }
        match attachments.adjust(loaded) {
            Ok(found) => {
                is_published &= found.is_empty();
                report(&found);
            }
            // The next look may succeed.
            Err(error) => debug!("{error}"),
        }
        if !is_published {
            is_published = pins.is_none_or(|pins| publish_interfaces(pins, attachments.attached()));
        }
    }
    anyhow!("no interface is left")
}

/// Waits for a notification, but not for long. Returns whether there will be no more.
async fn wait(changes: &mut Option<LinkChanges>) -> bool {
    let Some(changes) = changes else {
        sleep(INTERVAL).await;
        return true;
    };
    timeout(INTERVAL, changes.changed()).await.is_ok_and(|changed| changed.is_err())
}

/// Reports what has happened to the interfaces since the last look.
pub(crate) fn report_last(attachments: &mut Attachments) {
    report(&attachments.finish().unwrap_or_default());
}

fn report(changes: &[Change]) {
    for change in changes {
        let level = if change.is_problem() { Level::Warn } else { Level::Info };
        let about = About { interface: change.interface(), ..About::default() };
        stderr::message(level, format_args!("{change}"), about);
    }
}
