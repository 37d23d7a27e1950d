//! Checks what this host can do and what would stop `attach`, without changing anything.

pub mod check;
mod ingress;
mod tls;

use std::{fs, io, path::Path};

use aya::util::KernelVersion;
use caps::{CapSet, Capability};
use rustix::param::page_size;

use check::{Check, State, check, last_source};

use super::existing::{Marked, Scanner, module::Module, rights};
use crate::{
    error_chain::ErrorChain,
    live::{
        host::privileges::{self, PrivilegesError, paranoid},
        program::{
            attach::TCX,
            load::{LoadOptions, Loaded},
        },
        rings::{default_ring_bytes, try_open},
        runs::pin_directories::{BPF_FS, DirectoryError, PinDirectories},
    },
};

/// The oldest supported kernel.
const OLDEST: KernelVersion = KernelVersion::new(5, 15, 0);

/// Runs all checks.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![kernel(), tcx(), capabilities(), bpf_file_system(), rings(), jit(), btf()];
    checks.extend(ingress::hooks());
    checks.push(ingress::killed_runs());
    checks.push(module());
    checks.push(existing());
    checks.push(marked());
    checks.extend(tls::checks());
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
        Err(PrivilegesError::Missing { missing }) => {
            let found = format!("{missing} missing");
            check("capabilities", State::Fail, found, Some("run as root: sudo toa-tc …"))
        }
        Err(error @ PrivilegesError::UserNamespace) => {
            check("capabilities", State::Fail, error.to_string(), None)
        }
    }
}

fn bpf_file_system() -> Check {
    let name = "bpf file system";
    let cannot = "attach works, but not watch, status and flows";
    match PinDirectories::default().own_existing() {
        Ok(_) => check(name, State::Ok, format!("at {BPF_FS}"), None),
        Err(DirectoryError::NoFileSystem) => {
            let advice = format!("mount -t bpf bpf {BPF_FS}");
            check(name, State::Warn, format!("none at {BPF_FS}: {cannot}"), Some(&advice))
        }
        Err(error) => check(name, State::Warn, format!("{error}: {cannot}"), None),
    }
}

/// Checks whether perf events can be opened, and the rings locked in memory (`perf_mmap` of `kernel/events/core.c`).
fn rings() -> Check {
    let name = "perf events";
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<i64>().ok();
    let Some((paranoid, mlock_kib)) = paranoid().zip(number("/proc/sys/kernel/perf_event_mlock_kb")) else {
        return match try_open() {
            Ok(()) => check(name, State::Ok, "can be opened; their limits in /proc/sys cannot be read", None),
            Err(error) if error.is_unsupported() => {
                check(name, State::Fail, "not in this kernel", Some("needs CONFIG_PERF_EVENTS"))
            }
            Err(error) => check(name, State::Fail, ErrorChain(&error).to_string(), None),
        };
    };
    let found = format!("perf_event_paranoid {paranoid}, perf_event_mlock_kb {mlock_kib}");
    // Which capabilities are missing is said by another check.
    if privileges::check().is_ok()
        && let Err(error) = try_open()
    {
        return check(name, State::Fail, ErrorChain(&error).to_string(), None);
    }
    let may_lock = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
    let possible = aya::util::nr_cpus().map_or(1, |cpus| cpus.max(1));
    let cpus = possible as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let allowed = u64::try_from(mlock_kib).unwrap_or(0).saturating_mul(1024).saturating_mul(cpus);
    let allowed = limit.map_or(u64::MAX, |limit| allowed.saturating_add(limit));
    let wanted = (default_ring_bytes(possible) + page_size()) as u64 * cpus;
    if may_lock || paranoid < 0 || wanted <= allowed {
        return check(name, State::Ok, found, None);
    }
    let smaller = match largest_ring(allowed, cpus) {
        Some(bytes) => format!("--ring-size {bytes}"),
        None => "a larger limit (ulimit -l)".to_owned(),
    };
    let advice = format!(
        "this user may lock {allowed} bytes, the rings want {wanted}: CAP_IPC_LOCK, {smaller}, or \
         kernel.perf_event_mlock_kb"
    );
    check(name, State::Fail, found, Some(&advice))
}

/// Returns the largest size of a ring of which `cpus` fit into `allowed` bytes, each with its control page.
fn largest_ring(allowed: u64, cpus: u64) -> Option<u64> {
    let page = page_size() as u64;
    let room = (allowed / cpus.max(1)).checked_sub(page).filter(|room| *room >= page)?;
    Some(1 << room.ilog2())
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
    let found = if there {
        "the kernel has it"
    } else {
        "the kernel has none, so sockets are not read from its memory"
    };
    check("btf", State::Ok, found, None)
}

fn module() -> Check {
    let module = Module::now();
    let found = match module {
        Module { is_loaded: false, .. } => "not loaded; only --existing needs it".to_owned(),
        Module { with_toa: Some(with_toa), without_toa, counts_ipv6, .. } => {
            let without_toa = without_toa.map_or_else(String::new, |count| format!(" and {count} without"));
            let ipv6 = if counts_ipv6 == Some(true) { "" } else { "; it counts no IPv6 addresses" };
            format!("loaded: has seen {with_toa} connections with TOA{without_toa}{ipv6}")
        }
        _ => "loaded: servers on this host see real clients".to_owned(),
    };
    let advice = (module.with_toa == Some(0) && module.without_toa > Some(0))
        .then_some("it expects another option, or the balancer marks only SYNs, or all clients are direct");
    check("toa module", State::Ok, found, advice)
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

/// Counts the open connections that came through something that marks TCP options, in the kernel's memory.
fn marked() -> Check {
    let name = "marked connections";
    let advice = "--existing then only queries the servers' sockets";
    let mut scanner = match Scanner::new() {
        Ok(scanner) => scanner,
        Err(error) => return check(name, State::Warn, ErrorChain(&error).to_string(), None),
    };
    let Marked { marked, total } = match scanner.marked() {
        Ok(counts) => counts,
        Err(error) => return check(name, State::Warn, ErrorChain(&error).to_string(), None),
    };
    if let Some(error) = scanner.without_memory() {
        return check(name, State::Warn, format!("not known: {}", ErrorChain(error)), Some(advice));
    }
    let rest = if marked == total { "" } else { "; not known of the others" };
    let found =
        format!("{marked} of {total} open connections came through something that marks TCP options{rest}");
    check(name, State::Ok, found, None)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_says_something() {
        let checks = examine();
        assert!(checks.iter().all(|check| !check.name.is_empty() && !check.found.is_empty()), "{checks:?}");
        assert!(checks.iter().any(|check| check.name == "kernel"));
    }

    #[test]
    fn the_ring_size_that_is_advised_fits() {
        let page = page_size() as u64;
        assert_eq!(largest_ring(2 * (page + 65_536), 2), Some(65_536));
        assert_eq!(largest_ring(2 * (page + 65_536) - 1, 2), Some(32_768));
        assert_eq!(largest_ring(4 * page, 2), Some(page));
        assert_eq!(largest_ring(4 * page - 1, 2), None);
        assert_eq!(largest_ring(0, 2), None);
    }
}
