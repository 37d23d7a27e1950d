//! Opens the perf events, one for each CPU's ring.

use std::{
    io, mem,
    os::fd::{FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{
    PERF_FLAG_FD_CLOEXEC, perf_event_attr, perf_event_sample_format, perf_sw_ids, perf_type_id,
};
use rustix::param::page_size;

use super::error::PerfError;
use crate::live::host::privileges::paranoid;

/// Opens one event as `Rings::open` does for each CPU, to see whether this user may.
pub(crate) fn try_open() -> Result<(), PerfError> {
    let cpu = rustix::thread::sched_getcpu();
    open_event(u32::try_from(cpu).unwrap_or(0), page_size()).map(drop)
}

/// Opens the event of a CPU for a ring of `bytes`.
pub(super) fn open_event(cpu: u32, bytes: usize) -> Result<OwnedFd, PerfError> {
    perf_event_open(cpu, bytes).map_err(|source| refused(cpu, source))
}

/// Returns why an event could not be opened.
pub(super) fn refused(cpu: u32, source: io::Error) -> PerfError {
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => PerfError::Denied { paranoid: paranoid(), source },
        _ => PerfError::Ring { cpu, call: "perf_event_open", source },
    }
}

pub(super) fn perf_event_open(cpu: u32, bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: a `perf_event_attr` of zeros is valid.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.type_ = perf_type_id::PERF_TYPE_SOFTWARE as u32;
    attr.config = perf_sw_ids::PERF_COUNT_SW_BPF_OUTPUT as u64;
    attr.sample_type = perf_event_sample_format::PERF_SAMPLE_RAW as u64;
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = u32::try_from(bytes / 8).unwrap_or(u32::MAX);
    let (any_process, no_group) = (-1, -1);
    // SAFETY: `attr` outlives the call and contains its own size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            any_process,
            cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
