//! Checks what this host can do and what would stop `attach`, without changing anything.

use std::{fs, io, path::Path};

use aya::util::KernelVersion;
use caps::{CapSet, Capability};

use super::existing::{module::Module, rights};
use crate::live::{
    host::privileges,
    program::{
        attach::TCX,
        chain,
        load::{LoadOptions, Loaded},
    },
    rings::default_ring_bytes,
    runs::pins::{self, BPF_FS, PinsError},
};

/// The oldest supported kernel.
const OLDEST: KernelVersion = KernelVersion::new(5, 15, 0);

/// The result of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No problem was found.
    Ok,
    /// Something will not work or could not be checked, but `attach` will work.
    Warn,
    /// `attach` will not work.
    Fail,
}

impl State {
    /// Returns the name in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The subject of the check.
    pub name: &'static str,
    /// The result.
    pub state: State,
    /// The finding, as text.
    pub found: String,
    /// The remedy, if there is one.
    pub advice: Option<String>,
}

fn check(name: &'static str, state: State, found: impl Into<String>, advice: Option<&str>) -> Check {
    Check { name, state, found: found.into(), advice: advice.map(str::to_owned) }
}

/// Runs all checks.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![kernel(), tcx(), capabilities(), bpf_file_system(), rings(), jit(), btf()];
    checks.extend(interfaces());
    checks.push(module());
    checks.push(existing());
    checks.push(programs());
    checks
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match KernelVersion::current() {
        Ok(version) if version >= OLDEST => check("kernel", State::Ok, release, None),
        _ => check("kernel", State::Fail, release, Some("toa-tc needs Linux 5.15 or later")),
    }
}

fn tcx() -> Check {
    if KernelVersion::current().is_ok_and(|version| version >= TCX) {
        check("tcx", State::Ok, "attaching first in the TCX chain", None)
    } else {
        let advice = "TCX needs Linux 6.6; without it, another filter may hide packets from toa-tc";
        check("tcx", State::Warn, "not in this kernel: attaching as a netlink filter", Some(advice))
    }
}

fn capabilities() -> Check {
    match privileges::check() {
        Ok(()) => check("capabilities", State::Ok, "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", None),
        Err(error) => {
            let found = format!("{} missing", error.missing());
            check("capabilities", State::Fail, found, Some("run as root: sudo toa-tc …"))
        }
    }
}

fn bpf_file_system() -> Check {
    let name = "bpf file system";
    let cannot = "attach works, but not watch, status and flows";
    match pins::directory() {
        Ok(_) => check(name, State::Ok, format!("at {BPF_FS}"), None),
        Err(PinsError::NoFileSystem) => {
            let advice = format!("mount -t bpf bpf {BPF_FS}");
            check(name, State::Warn, format!("none at {BPF_FS}: {cannot}"), Some(&advice))
        }
        Err(error) => check(name, State::Warn, format!("{error}: {cannot}"), None),
    }
}

/// Checks whether the rings may be locked in memory (`perf_mmap` of `kernel/events/core.c`).
fn rings() -> Check {
    let name = "perf events";
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<i64>().ok();
    let paranoid = number("/proc/sys/kernel/perf_event_paranoid");
    let Some((paranoid, mlock_kib)) = paranoid.zip(number("/proc/sys/kernel/perf_event_mlock_kb")) else {
        return check(name, State::Fail, "not in this kernel", Some("needs CONFIG_PERF_EVENTS"));
    };
    let found = format!("perf_event_paranoid {paranoid}, perf_event_mlock_kb {mlock_kib}");
    let may_lock = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
    let possible = aya::util::nr_cpus().map_or(1, |cpus| cpus.max(1));
    let cpus = possible as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let allowed = u64::try_from(mlock_kib).unwrap_or(0).saturating_mul(1024).saturating_mul(cpus);
    let allowed = limit.map_or(u64::MAX, |limit| allowed.saturating_add(limit));
    let wanted = (default_ring_bytes(possible) as u64).saturating_mul(cpus);
    if may_lock || paranoid < 0 || wanted <= allowed {
        return check(name, State::Ok, found, None);
    }
    let advice = format!(
        "this user may lock {allowed} bytes, the rings want {wanted}: CAP_IPC_LOCK, --ring-size, or \
         kernel.perf_event_mlock_kb"
    );
    check(name, State::Fail, found, Some(&advice))
}

fn jit() -> Check {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
        Ok(text) if text.trim() == "0" => {
            let advice = "sysctl net.core.bpf_jit_enable=1: without it every packet costs several times more";
            check("jit", State::Warn, "off", Some(advice))
        }
        Ok(_) => check("jit", State::Ok, "on", None),
        // The file exists in the initial network namespace only.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            check("jit", State::Ok, "not visible in this network namespace", None)
        }
        Err(error) => check("jit", State::Warn, format!("cannot be seen: {error}"), None),
    }
}

fn btf() -> Check {
    let there = Path::new("/sys/kernel/btf/vmlinux").exists();
    let found = if there { "the kernel has it" } else { "the kernel has none, and none is needed" };
    check("btf", State::Ok, found, None)
}

/// Checks which programs run at each interface's ingress hook.
fn interfaces() -> Vec<Check> {
    let name = "ingress chain";
    let names = match interface_names() {
        Ok(names) => names,
        Err(error) => return vec![check(name, State::Warn, format!("cannot be seen: {error}"), None)],
    };
    let has_tcx = KernelVersion::current().is_ok_and(|version| version >= TCX);
    if !has_tcx {
        return vec![check(name, State::Ok, "no TCX, so no chain", None)];
    }
    let mut checks = Vec::new();
    for interface in names {
        match chain::programs(&interface) {
            Ok(programs) if programs.is_empty() => {
                checks.push(check(name, State::Ok, format!("{interface}: empty"), None));
            }
            Ok(programs) => {
                let names: Vec<_> = programs.iter().map(|it| format!("{} (id {})", it.name, it.id)).collect();
                let found = format!(
                    "{interface}: {}; the first runs first, and attach goes before it",
                    names.join(", ")
                );
                checks.push(check(name, State::Ok, found, None));
            }
            Err(error) => {
                let found = format!("{interface}: cannot be seen: {}", last_source(&error));
                checks.push(check(name, State::Warn, found, Some("needs CAP_NET_ADMIN")));
            }
        }
    }
    checks
}

/// Returns the names of the interfaces of our network namespace.
fn interface_names() -> io::Result<Vec<String>> {
    let text = fs::read_to_string("/proc/thread-self/net/dev")?;
    Ok(text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect())
}

fn module() -> Check {
    let found = if Module::now().is_loaded {
        "loaded: servers on this host see real clients"
    } else {
        "not loaded; only --existing needs it"
    };
    check("toa module", State::Ok, found, None)
}

/// Checks whether servers' sockets can be queried.
fn existing() -> Check {
    let name = "existing connections";
    match rights::check(false) {
        Ok(()) => check(name, State::Ok, "the servers' sockets can be queried", None),
        Err(error) => {
            check(name, State::Warn, error.to_string(), Some("attach works, but without --existing"))
        }
    }
}

/// Checks whether the kernel accepts the programs.
fn programs() -> Check {
    let name = "programs";
    if privileges::check().is_err() {
        return check(name, State::Warn, "not tested without the capabilities", None);
    }
    let tried = Loaded::new(["toa_ingress_eth", "toa_ingress_ip"], &LoadOptions::default());
    match tried {
        Ok(_) => check(name, State::Ok, "the kernel accepts them", None),
        Err(error) => check(name, State::Fail, format!("{error}: {}", last_source(&error)), None),
    }
}

/// Returns the message of the innermost error.
fn last_source(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_says_something() {
        let checks = examine();
        assert!(checks.iter().all(|check| !check.name.is_empty() && !check.found.is_empty()), "{checks:?}");
        assert!(checks.iter().any(|check| check.name == "kernel"));
        assert!(interface_names().unwrap().contains(&"lo".to_owned()));
    }
}
