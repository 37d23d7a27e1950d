//! CPU time and memory of a process.

use std::{fs, mem::MaybeUninit, time::Duration};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

use crate::{process::children, wait};

/// What a process has used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// CPU time in user and kernel mode.
    pub cpu: Duration,
    /// Peak resident memory in KiB.
    pub peak_kib: u64,
}

/// Returns the resident memory of a process in KiB.
pub fn resident_kib(process: u32) -> Result<u64> {
    kib(process, "VmRSS:")
}

/// Returns the number of descriptors of a process.
pub fn descriptors(process: u32) -> Result<usize> {
    let directory = format!("/proc/{process}/fd");
    Ok(fs::read_dir(&directory).context(directory)?.count())
}

/// Returns a number of KiB in the status of a process.
fn kib(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Returns what a running process has used so far. The resolution of CPU time is the kernel's clock tick.
pub fn so_far(process: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let cpu = cpu_ticks(&stat).context("no CPU time")? * 1000 / clock_ticks_per_second();
    Ok(Usage { cpu: Duration::from_millis(cpu), peak_kib: kib(process, "VmHWM:")? })
}

/// Returns what a running process and those that it has started have used so far. The peak is the sum of theirs.
pub fn of_tree(process: u32) -> Result<Usage> {
    let mut usage = so_far(process)?;
    for child in children(process)? {
        let child = of_tree(child)?;
        usage = Usage { cpu: usage.cpu + child.cpu, peak_kib: usage.peak_kib + child.peak_kib };
    }
    Ok(usage)
}

/// Waits at most `patience` for a child to exit and returns its total usage. The child is not reaped.
///
/// Memory is as of the last poll, some milliseconds before the exit. The kernel's own figure (`ru_maxrss`)
/// would include the memory that this process had when the child started as its copy.
pub fn until_end(child: u32, patience: Duration) -> Result<Usage> {
    let mut peak_kib = 0;
    let cpu = wait::within(patience, "the end of a process", || {
        // It may exit between the two.
        peak_kib = so_far(child).map_or(peak_kib, |usage| usage.peak_kib);
        cpu_of_ended(child)
    })?;
    Ok(Usage { cpu, peak_kib })
}

/// Returns the total CPU time of an exited child, or `None` while it runs.
fn cpu_of_ended(child: u32) -> Result<Option<Duration>> {
    let mut ended = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: both pointers refer to locals of the types that the call expects. libc's wrapper has no
    // `rusage`.
    let result = unsafe {
        libc::syscall(libc::SYS_waitid, libc::P_PID, child, ended.as_mut_ptr(), flags, usage.as_mut_ptr())
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("waitid");
    }
    // SAFETY: both have only integers and pointers, for which zeros are valid. The process id is set unless
    // it is zero.
    let (ended, usage) = unsafe { (ended.assume_init().si_pid(), usage.assume_init()) };
    if ended == 0 {
        return Ok(None);
    }
    let cpu = [usage.ru_utime, usage.ru_stime].map(time).into_iter().sum::<Option<Duration>>();
    cpu.context("a time before zero").map(Some)
}

fn time(value: libc::timeval) -> Option<Duration> {
    Some(Duration::new(value.tv_sec.try_into().ok()?, u32::try_from(value.tv_usec).ok()? * 1000))
}

/// Returns the sum of user and kernel time in `/proc/PID/stat`, fields 14 and 15. Field 2 is a name, which
/// may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::process::Process;
    use crate::wait::PATIENCE;

    #[test]
    fn times_stand_behind_any_name() {
        let stat = "7 (a ) S 1) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 5 6 20 0 1 0 100";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn children_are_counted_with_their_parent() {
        let child = Command::new("sh").args(["-c", "cat; true"]).stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::new("sh", child);
        wait::until("a child", || {
            let (alone, tree) = (so_far(process.id())?, of_tree(process.id()));
            // The child may not have begun yet.
            Ok(tree.is_ok_and(|tree| tree.peak_kib > alone.peak_kib).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn a_child_is_measured_while_it_runs_and_when_it_has_ended() {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut process = Process::new("cat", child);
        assert_eq!(cpu_of_ended(process.id()).unwrap(), None);
        assert!(so_far(process.id()).unwrap().peak_kib > 0);
        drop(process.child().stdin.take());
        until_end(process.id(), PATIENCE).unwrap();
        assert!(so_far(process.id()).is_err());
        assert!(process.wait(PATIENCE).unwrap().success());
        assert!(cpu_of_ended(process.id()).is_err());
    }
}
