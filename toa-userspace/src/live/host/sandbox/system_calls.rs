//! The system calls that a run may make, restricted by seccomp.
//!
//! Others fail with `ENOSYS`, as on a kernel that lacks them, because C libraries then use older ones.

use std::{collections::BTreeMap, env::consts};

use aya_obj::generated::bpf_cmd;
use log::debug;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, apply_filter_all_threads,
};

use super::{duties::Duties, error::SandboxError};

/// The calls that are allowed with any arguments.
#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    // Files and descriptors. Landlock and file modes decide which files.
    libc::SYS_close, libc::SYS_dup, libc::SYS_dup3, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fchmod,
    libc::SYS_fcntl,
    libc::SYS_fdatasync, libc::SYS_flock, libc::SYS_fstat, libc::SYS_fstatfs, libc::SYS_fsync, libc::SYS_ftruncate, libc::SYS_getdents64,
    libc::SYS_ioctl, libc::SYS_lseek, libc::SYS_newfstatat, libc::SYS_openat, libc::SYS_pipe2, libc::SYS_pread64,
    libc::SYS_preadv, libc::SYS_pwrite64, libc::SYS_read, libc::SYS_readlinkat, libc::SYS_readv, libc::SYS_statfs,
    libc::SYS_statx, libc::SYS_unlinkat, libc::SYS_write, libc::SYS_writev,
    // Waiting.
    libc::SYS_clock_nanosleep, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_ppoll,
    libc::SYS_restart_syscall, libc::SYS_sched_yield,
    // Memory.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_munmap,
    // Sockets, which ask the kernel about interfaces and connections.
    libc::SYS_bind, libc::SYS_connect, libc::SYS_getpeername, libc::SYS_getsockname, libc::SYS_getsockopt,
    libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_setsockopt,
    libc::SYS_socket,
    // This process: its threads, signals, times, limits and names.
    libc::SYS_capget, libc::SYS_capset, libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_exit,
    libc::SYS_exit_group, libc::SYS_getcpu, libc::SYS_getegid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getpid,
    libc::SYS_getpriority, libc::SYS_setpriority,
    libc::SYS_getrandom, libc::SYS_getrusage, libc::SYS_gettid, libc::SYS_gettimeofday, libc::SYS_getuid,
    libc::SYS_membarrier, libc::SYS_prctl, libc::SYS_prlimit64, libc::SYS_rseq, libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sched_getaffinity, libc::SYS_set_robust_list,
    libc::SYS_sigaltstack, libc::SYS_sysinfo, libc::SYS_tgkill, libc::SYS_uname, libc::SYS_wait4,
    // Further restrictions.
    libc::SYS_landlock_add_rule, libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self,
];

/// Older forms of some of them, which C libraries use on this architecture.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[libc::c_long] = &[
    libc::SYS_access, libc::SYS_dup2, libc::SYS_epoll_wait, libc::SYS_getrlimit, libc::SYS_lstat, libc::SYS_open,
    libc::SYS_pipe, libc::SYS_poll, libc::SYS_readlink, libc::SYS_rmdir, libc::SYS_stat, libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// What [`Duties::reads_sockets`] needs beside `bpf`.
const FOR_SOCKETS: &[libc::c_long] = &[
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
];

/// What [`Duties::rotates`] needs.
#[cfg(target_arch = "x86_64")]
const FOR_ROTATION: &[libc::c_long] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(target_arch = "aarch64")]
const FOR_ROTATION: &[libc::c_long] = &[libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
const FOR_ROTATION: &[libc::c_long] = &[libc::SYS_renameat2];

/// What [`Duties::serves`] needs.
const FOR_SERVING: &[libc::c_long] = &[libc::SYS_accept4, libc::SYS_shutdown];

/// The commands of `bpf` that use what is loaded. None of them loads a program or creates a map.
const BPF_COMMANDS: [bpf_cmd; 13] = [
    bpf_cmd::BPF_MAP_LOOKUP_ELEM,
    bpf_cmd::BPF_MAP_UPDATE_ELEM,
    bpf_cmd::BPF_MAP_DELETE_ELEM,
    bpf_cmd::BPF_MAP_GET_NEXT_KEY,
    bpf_cmd::BPF_MAP_LOOKUP_BATCH,
    bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    bpf_cmd::BPF_MAP_UPDATE_BATCH,
    bpf_cmd::BPF_MAP_DELETE_BATCH,
    bpf_cmd::BPF_OBJ_GET,
    bpf_cmd::BPF_OBJ_GET_INFO_BY_FD,
    bpf_cmd::BPF_PROG_QUERY,
    bpf_cmd::BPF_LINK_CREATE,
    bpf_cmd::BPF_LINK_DETACH,
];

/// Restricts a process that only opens perf events, see [`crate::live::rings::opener`].
pub(super) fn restrict_opener() -> Result<(), SandboxError> {
    let allowed = [
        libc::SYS_close,
        libc::SYS_exit_group,
        libc::SYS_perf_event_open,
        libc::SYS_recvfrom,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        libc::SYS_sendmsg,
    ];
    let program = compile(allowed.map(|call| (call, Vec::new())).into()).map_err(seccompiler::Error::from);
    program.and_then(|program| apply_filter(&program)).map_err(SandboxError::SystemCalls)
}

/// Restricts all threads, and those that are started later.
pub(super) fn restrict(duties: &Duties) -> Result<(), SandboxError> {
    let program = match filter(duties) {
        Ok(program) => program,
        // seccompiler knows fewer architectures than we run on.
        Err(BackendError::InvalidTargetArch(arch)) => {
            debug!("system calls are not restricted on {arch}");
            return Ok(());
        }
        Err(error) => return Err(SandboxError::SystemCalls(error.into())),
    };
    apply_filter_all_threads(&program).map_err(SandboxError::SystemCalls)
}

fn filter(duties: &Duties) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<_, _> =
        [ALLOWED, OLDER].into_iter().flatten().map(|call| (*call, Vec::new())).collect();
    // Threads, but no processes.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![rule(SeccompCmpOp::MaskedEq(thread), thread)?]);
    if duties.rotates {
        rules.extend(FOR_ROTATION.iter().map(|call| (*call, Vec::new())));
    }
    if duties.serves {
        rules.extend(FOR_SERVING.iter().map(|call| (*call, Vec::new())));
    }
    if duties.reads_sockets {
        rules.extend(FOR_SOCKETS.iter().map(|call| (*call, Vec::new())));
        rules.insert(libc::SYS_bpf, Vec::new());
    } else {
        let commands = BPF_COMMANDS.iter().map(|command| rule(SeccompCmpOp::Eq, *command as u64));
        rules.insert(libc::SYS_bpf, commands.collect::<Result<_, _>>()?);
    }
    compile(rules)
}

fn compile(rules: BTreeMap<libc::c_long, Vec<SeccompRule>>) -> Result<BpfProgram, BackendError> {
    let refusal = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules, refusal, SeccompAction::Allow, consts::ARCH.try_into()?)?.try_into()
}

/// Returns the rule that a call's first argument must follow.
fn rule(operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?])
}
