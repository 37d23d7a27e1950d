//! What our own programs cost.

use std::{collections::BTreeMap, fs, io};

use super::chain::{Cost, field};

/// The type of programs that are attached to interfaces (`BPF_PROG_TYPE_SCHED_CLS` of `linux/bpf.h`).
const SCHED_CLS: u64 = 3;

/// Returns the sums over the programs that this process has attached, or `None` if the kernel has never measured them. Needs
/// no rights but to read `/proc`.
pub fn own_cost() -> io::Result<Option<Cost>> {
    let mut costs = BTreeMap::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo")? {
        // A descriptor that was closed in the meantime is none of ours.
        let info = descriptor.and_then(|descriptor| fs::read_to_string(descriptor.path()));
        costs.extend(info.ok().as_deref().and_then(parse));
    }
    let add = |sum: Cost, cost: &Cost| Cost {
        runs: sum.runs.saturating_add(cost.runs),
        run_time_ns: sum.run_time_ns.saturating_add(cost.run_time_ns),
    };
    let sum = costs.values().fold(Cost::default(), add);
    Ok((sum.runs > 0).then_some(sum))
}

/// Returns the ID of a program and its cost, if that is what a descriptor refers to (`bpf_prog_show_fdinfo` in
/// `kernel/bpf/syscall.c`).
fn parse(info: &str) -> Option<(u64, Cost)> {
    let cost = Cost { runs: field(info, "run_cnt"), run_time_ns: field(info, "run_time_ns") };
    (field(info, "prog_type") == SCHED_CLS).then(|| (field(info, "prog_id"), cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_from_other_descriptors() {
        let program = "pos:\t0\nflags:\t02000002\nprog_type:\t3\nprog_jited:\t1\nprog_tag:\tab\nmemlock:\t4096\n\
                       prog_id:\t66\nrun_time_ns:\t2500\nrun_cnt:\t10\nrecursion_misses:\t0\n";
        assert_eq!(parse(program), Some((66, Cost { runs: 10, run_time_ns: 2500 })));
        assert_eq!(parse(&program.replace("prog_type:\t3", "prog_type:\t26")), None);
        assert_eq!(parse("pos:\t0\nflags:\t0100000\nmnt_id:\t15\n"), None);
        assert!(own_cost().unwrap().is_none());
    }
}
