//! Identifies processes, so that a dead one is not confused with a later one that has its PID.

use std::{fmt, fs, io, str::FromStr};

use crate::live::host::namespace;

/// The identity of a process, unique until the next boot.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// The process ID in its PID namespace.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The inode of its PID namespace.
    pub pid_namespace: u64,
}

impl Identity {
    /// Returns the identity of this process.
    pub fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
        let start_ticks = start_ticks("self")?.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, start_ticks, pid_namespace: namespace::inode("self", "pid")? })
    }

    /// Returns whether the process still runs, or `None` if that cannot be seen from here.
    pub fn is_alive(&self) -> Option<bool> {
        if namespace::inode("self", "pid").ok()? != self.pid_namespace {
            return None;
        }
        match start_ticks(&self.pid.to_string()) {
            Ok(start_ticks) => Some(start_ticks == Some(self.start_ticks)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            // The process ended between opening and reading.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Some(false),
            Err(_) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pid, self.start_ticks, self.pid_namespace)
    }
}

/// The error for text that is not an identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoIdentity;

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NoIdentity);
        let identity = Self {
            pid: part()?.parse().map_err(|_| NoIdentity)?,
            start_ticks: part()?.parse().map_err(|_| NoIdentity)?,
            pid_namespace: part()?.parse().map_err(|_| NoIdentity)?,
        };
        // Accept only the form that `Display` writes, not others with the same value such as `+1` or `01`.
        if identity.to_string() == text { Ok(identity) } else { Err(NoIdentity) }
    }
}

/// Returns when a process started, in clock ticks since boot, or `None` if it is a zombie or dead.
fn start_ticks(pid: &str) -> io::Result<Option<u64>> {
    parse_start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// Reads fields 3 and 22 of `/proc/PID/stat` (`proc_pid_stat(5)`). Field 2, the name, may contain anything.
fn parse_start_ticks(stat: &str) -> io::Result<Option<u64>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(invalid)?;
    let mut fields = fields.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None);
    }
    let ticks = fields.nth(18).ok_or_else(invalid)?;
    ticks.parse().map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_others_with_its_number() {
        let own = Identity::own().unwrap();
        assert_eq!(own.is_alive(), Some(true));
        assert_eq!(Identity { start_ticks: own.start_ticks + 1, ..own }.is_alive(), Some(false));
        // Larger than any PID that the kernel assigns.
        assert_eq!(Identity { pid: 1 << 30, ..own }.is_alive(), Some(false));
        assert_eq!(Identity { pid_namespace: 1, ..own }.is_alive(), None);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let own = Identity::own().unwrap();
        assert_eq!(own.to_string().parse(), Ok(own));
        for wrong in ["", "1", "1-2", "1-2-3-4", "+1-2-3", "01-2-3", "a-b-c", "1-2-3 "] {
            assert_eq!(wrong.parse::<Identity>(), Err(NoIdentity), "{wrong}");
        }
    }

    #[test]
    fn names_of_programs_do_not_confuse() {
        let rest = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 1000";
        assert_eq!(parse_start_ticks(&format!("7 (a) b) {rest}")).unwrap(), Some(777));
        assert_eq!(parse_start_ticks(&format!("7 (a) {}", rest.replace('S', "Z"))).unwrap(), None);
        assert!(parse_start_ticks("7 (a").is_err());
    }
}
