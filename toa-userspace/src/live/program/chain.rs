//! What runs at an interface's ingress hook, in which order, and what our own program costs.

use std::{
    collections::HashMap,
    fs, io, mem,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::loaded_programs;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd};

use crate::live::program::filters::{self, Filter};

/// Most programs at one hook: `BPF_MPROG_MAX` of `linux/bpf_mprog.h`.
const MAX_PROGRAMS: usize = 64;

/// What the names of our programs begin with.
pub(crate) const OURS: &str = "toa_ingress_";

/// A program at the hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// The kernel's ID of the program.
    pub id: u32,
    /// The name, as truncated by the kernel. It is empty if we may not see it.
    pub name: String,
}

/// Returns the programs at the TCX ingress hook of the interface with this index of our own network namespace, in the order
/// in which they run. Needs `CAP_NET_ADMIN`, and `CAP_SYS_ADMIN` for the names.
pub fn programs(index: u32) -> io::Result<Vec<Program>> {
    let ids = program_ids(index)?;
    let names = names(&ids);
    let program = |id| Program { id, name: names.get(&id).cloned().unwrap_or_default() };
    Ok(ids.into_iter().map(program).collect())
}

/// Returns the names of those programs that we may see.
fn names(ids: &[u32]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    if !ids.is_empty() {
        // A program may be unloaded while the programs are listed.
        for program in loaded_programs().filter_map(Result::ok).filter(|it| ids.contains(&it.id())) {
            names.insert(program.id(), program.name_as_str().unwrap_or_default().to_owned());
        }
    }
    names
}

fn program_ids(index: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    // SAFETY: a `bpf_attr` of zeros is valid.
    let mut attr: bpf_attr = unsafe { mem::zeroed() };
    attr.query.__bindgen_anon_1.target_ifindex = index;
    attr.query.attach_type = bpf_attach_type::BPF_TCX_INGRESS as u32;
    attr.query.prog_ids = (&raw mut ids).addr() as u64;
    attr.query.__bindgen_anon_2.count = MAX_PROGRAMS as u32;
    // SAFETY: the kernel writes at most `count` words to `ids`, and the number of programs to `attr`. Both outlive the
    // call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, bpf_cmd::BPF_PROG_QUERY, &raw mut attr, size_of::<bpf_attr>())
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the query succeeded, so this is the field of the union that the kernel wrote.
    let count = unsafe { attr.query.__bindgen_anon_2.count };
    Ok(ids.into_iter().take(count as usize).collect())
}

/// Something that runs at the hook.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// The program with this ID, attached by TCX.
    Program(u32),
    /// A netlink filter.
    Filter(Filter),
}

impl Stage {
    /// Returns the kernel's ID of the program, if it is one.
    pub fn program(&self) -> Option<u32> {
        match self {
            Self::Program(id) => Some(*id),
            Self::Filter(filter) => filter.program,
        }
    }

    /// Returns its name, with the priority of a filter.
    pub fn name(&self) -> String {
        match self {
            Self::Program(id) => names(&[*id]).remove(id).unwrap_or_default(),
            Self::Filter(Filter { priority, kind, name, .. }) if name.is_empty() => {
                format!("{kind} (priority {priority})")
            }
            Self::Filter(Filter { priority, name, .. }) => format!("{name} (priority {priority})"),
        }
    }

    /// Describes it to people.
    pub fn describe(&self) -> String {
        match self {
            Self::Program(id) => match self.name() {
                name if name.is_empty() => format!("the program with id {id}"),
                name => format!("program {name} (id {id})"),
            },
            Self::Filter(filter) => format!("{filter}"),
        }
    }
}

/// Returns what runs at the ingress hook of the interface with this index of our own network namespace, in the order in
/// which it runs: programs attached by TCX come before netlink filters. Needs `CAP_NET_ADMIN`.
pub fn stages(index: u32) -> io::Result<Vec<Stage>> {
    let programs = match program_ids(index) {
        // Before Linux 6.6, there is no TCX.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Vec::new(),
        ids => ids?,
    };
    let filters = filters::ingress(index)?.into_iter().map(Stage::Filter);
    Ok(programs.into_iter().map(Stage::Program).chain(filters).collect())
}

/// The cost of programs since they were loaded, as far as the kernel collected BPF statistics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// Number of runs.
    pub runs: u64,
    /// Total time of the runs in nanoseconds.
    pub run_time_ns: u64,
}

/// Returns whether the kernel collects BPF statistics for all programs.
pub fn is_measured() -> bool {
    fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() == "1")
}

/// Returns the programs that use the map with this ID, and their total cost.
pub fn users_of(map_id: u32) -> io::Result<(Vec<u32>, Cost)> {
    let (mut ids, mut cost) = (Vec::new(), Cost::default());
    // A program may be unloaded while the programs are listed.
    for program in loaded_programs().filter_map(Result::ok) {
        let maps = program.map_ids().ok().flatten().unwrap_or_default();
        if !maps.contains(&map_id) {
            continue;
        }
        ids.push(program.id());
        let Ok(descriptor) = program.fd() else {
            continue;
        };
        let path = format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd());
        let text = fs::read_to_string(path)?;
        cost.runs = cost.runs.saturating_add(field(&text, "run_cnt"));
        cost.run_time_ns = cost.run_time_ns.saturating_add(field(&text, "run_time_ns"));
    }
    Ok((ids, cost))
}

/// Returns a number from the text of `/proc/PID/fdinfo/FD`, or 0 if it is missing.
pub(super) fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_described_by_priority_kind_and_name() {
        let mut filter = Filter {
            priority: 1,
            protocol: 3,
            handle: 1,
            kind: "matchall".to_owned(),
            program: None,
            name: String::new(),
        };
        assert_eq!(Stage::Filter(filter.clone()).describe(), "a netlink filter of priority 1 (matchall)");
        (filter.kind, filter.name) = ("bpf".to_owned(), "cil".to_owned());
        assert_eq!(Stage::Filter(filter).describe(), "a netlink filter of priority 1 (bpf cil)");
    }

    #[test]
    fn numbers_are_found_by_name() {
        let text = "pos:\t0\nrun_time_ns:\t120\nrun_cnt:\t3\n";
        assert_eq!((field(text, "run_cnt"), field(text, "run_time_ns"), field(text, "run")), (3, 120, 0));
    }
}
