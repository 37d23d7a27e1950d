//! The programs at an interface's ingress hook in their order, and what our own program costs.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

/// A program at the hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// The kernel's ID of the program.
    pub id: u32,
    /// The name, as truncated by the kernel.
    pub name: String,
}

/// Returns the programs at the TCX ingress hook of an interface of our own network namespace, in the order in which
/// they run.
pub fn programs(interface: &str) -> io::Result<Vec<Program>> {
    let (_, programs) =
        SchedClassifier::query_tcx(interface, TcAttachType::Ingress).map_err(io::Error::other)?;
    let program = |program: &aya::programs::ProgramInfo| Program {
        id: program.id(),
        name: program.name_as_str().unwrap_or_default().to_owned(),
    };
    Ok(programs.iter().map(program).collect())
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
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name() {
        let text = "pos:\t0\nrun_time_ns:\t120\nrun_cnt:\t3\n";
        assert_eq!((field(text, "run_cnt"), field(text, "run_time_ns"), field(text, "run")), (3, 120, 0));
    }
}
