//! The time zone in which times are printed for people.

use std::{env, path::Path, sync::OnceLock};

use jiff::tz::TimeZone;

use crate::stderr;

/// Returns the time zone. Says once if it was set and cannot be found; it is then [`TimeZone::unknown`], which is UTC.
pub(crate) fn get() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(find).clone()
}

fn find() -> TimeZone {
    let set = env::var_os("TZ").filter(|zone| !zone.is_empty());
    // Without either, the zone is UTC, and nothing is missing.
    if set.is_none() && !Path::new("/etc/localtime").exists() {
        return TimeZone::UTC;
    }
    TimeZone::try_system().unwrap_or_else(|_| {
        let zone = set.map_or_else(
            || "of /etc/localtime".to_owned(),
            |zone| format!("{:?} of the variable TZ", zone.to_string_lossy()),
        );
        stderr::warning(format_args!(
            "cannot find the time zone {zone}: is tzdata installed? times are printed in UTC"
        ));
        TimeZone::unknown()
    })
}
