//! The per-CPU perf rings: opens them with a watermark, gives them to the kernel program, and reads their samples.
//!
//! `aya`'s perf buffer is not used. It wakes its reader once per record, which costs more than the record, and it loops endlessly on a
//! record whose 16-bit size has wrapped. All unsafe code of the rings is in this file and in `rings/event.rs`.
//!
//! ```text
//! ring, as mapped: | control page | 2^n data pages                        |
//! record:          | type u32, misc u16, size u16 | length u32 | sample … |   (PERF_RECORD_SAMPLE)
//! ```

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd, perf_event_mmap_page};
use rustix::{
    event::epoll,
    io::Errno,
    ioctl::{self, NoArg, opcode},
    mm::{MapFlags, ProtFlags, mmap, munmap},
    param::page_size,
};

pub mod cpus;
mod error;
mod event;
pub mod opener;
pub mod reader;
mod records;

pub use error::PerfError;
pub(crate) use event::try_open;
pub use records::DrainStats;
use records::{Records, merge};

/// Counts and samples from now on (`linux/perf_event.h`).
const PERF_EVENT_IOC_ENABLE: ioctl::Opcode = opcode::none(b'$', 0);

/// Default size of all rings together, in bytes.
const RINGS_BYTES: usize = 64 << 20;
/// Smallest and largest default size of one ring, in bytes.
const RING_BYTES: (usize, usize) = (256 << 10, 16 << 20);

/// Returns the default size of one ring in bytes for this many possible CPUs: a share of 64 MiB, between 256 KiB and
/// 16 MiB, which is a whole upload that was copied because its end was lost sight of.
pub fn default_ring_bytes(cpus: usize) -> usize {
    let (least, most) = RING_BYTES;
    let share = (RINGS_BYTES / cpus.max(1)).max(1);
    (1 << share.ilog2()).clamp(least, most)
}

/// Returns the number of possible CPUs, which is the size of a perf event array. `/sys` is not asked: in a container, it
/// may show fewer CPUs than packets arrive on.
pub fn possible_cpus(map: &MapData) -> Result<u32, PerfError> {
    map.info().map(|info| info.max_entries()).map_err(PerfError::Map)
}

/// One ring for each online CPU.
#[derive(Debug)]
pub struct Rings {
    rings: Vec<Ring>,
    epoll: OwnedFd,
}

impl Rings {
    /// Opens rings of `bytes` each, and stores them in the perf event array `map`. A ring becomes readable when an
    /// eighth of it is full. Smaller amounts must be fetched from time to time.
    pub fn open(map: &MapData, bytes: usize) -> Result<Self, PerfError> {
        Self::open_on(map.fd().as_fd(), bytes, 0..possible_cpus(map)?)
    }

    /// Opens rings on these CPUs only, as far as they are online. On the others, the program counts its records as lost.
    pub fn open_on(
        map: BorrowedFd<'_>,
        bytes: usize,
        cpus: impl IntoIterator<Item = u32>,
    ) -> Result<Self, PerfError> {
        let page = page_size();
        if !bytes.is_power_of_two() || bytes < page {
            return Err(PerfError::Size { bytes, page });
        }
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| PerfError::Epoll(errno.into()))?;
        let mut rings = Self { rings: Vec::new(), epoll };
        for cpu in cpus {
            let event = match event::open_event(cpu, bytes) {
                Err(error) if error.is_offline() => continue,
                event => event?,
            };
            rings.add(Ring::new(event, map, cpu, bytes)?)?;
        }
        Ok(rings)
    }

    /// Adds a ring, in place of the one that its CPU had.
    pub fn add(&mut self, ring: Ring) -> Result<(), PerfError> {
        epoll::add(&self.epoll, &ring.fd, epoll::EventData::new_u64(ring.cpu.into()), epoll::EventFlags::IN)
            .map_err(|errno| PerfError::Epoll(errno.into()))?;
        self.rings.retain(|old| old.cpu != ring.cpu);
        self.rings.push(ring);
        Ok(())
    }

    /// Returns the CPUs that have a ring.
    pub fn cpus(&self) -> impl Iterator<Item = u32> {
        self.rings.iter().map(Ring::cpu)
    }

    /// Returns the number of rings.
    pub fn count(&self) -> usize {
        self.rings.len()
    }

    /// Waits until a ring has reached its watermark, a signal comes, or this time is over.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        // Which ring it is does not matter: all are read.
        let mut ready = [MaybeUninit::uninit(); 16];
        let patience = patience.try_into().map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, &mut ready, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Passes every sample that is in the rings now to `sample`, in the order of the time that each begins with (as a
    /// [`toa_common::record::SegmentRecord`] does). So a connection whose packets arrived on several CPUs does not have
    /// to wait for the rest of a ring.
    pub fn drain(&mut self, sample: impl FnMut(&[u8])) -> DrainStats {
        let mut drained = DrainStats::default();
        merge(self.rings.iter_mut().map(Ring::records).collect(), sample, &mut drained);
        drained
    }
}

/// The ring of one CPU.
#[derive(Debug)]
pub struct Ring {
    cpu: u32,
    fd: OwnedFd,
    /// The control page. The data pages follow it.
    control: NonNull<perf_event_mmap_page>,
    mapped_len: usize,
    data_len: usize,
    /// Buffer for samples that wrap around the end of the ring.
    scratch: Vec<u8>,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread.
unsafe impl Send for Ring {}
// SAFETY: a shared reference gives no access to the mapping, the only part that changes.
unsafe impl Sync for Ring {}

impl Ring {
    /// Maps the ring of an event that was opened for `cpu`, and stores it in the perf event array `map`.
    fn new(fd: OwnedFd, map: BorrowedFd<'_>, cpu: u32, bytes: usize) -> Result<Self, PerfError> {
        let failed = |call| move |source: io::Error| PerfError::Ring { cpu, call, source };
        let mapped_len = bytes + page_size();
        // SAFETY: this is a new mapping, which replaces no other memory.
        let control = unsafe {
            mmap(
                std::ptr::null_mut(),
                mapped_len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &fd,
                0,
            )
        };
        let control = control.map_err(|errno| failed("mmap")(errno.into()))?;
        let control = NonNull::new(control.cast())
            .ok_or_else(|| failed("mmap")(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        let ring = Self { cpu, fd, control, mapped_len, data_len: bytes, scratch: Vec::new() };
        // SAFETY: this ioctl on a perf event takes no argument.
        let enabled = unsafe { ioctl::ioctl(&ring.fd, NoArg::<PERF_EVENT_IOC_ENABLE>::new()) };
        enabled.map_err(|errno| failed("ioctl(PERF_EVENT_IOC_ENABLE)")(errno.into()))?;
        ring.store_in(map).map_err(failed("bpf(BPF_MAP_UPDATE_ELEM)"))?;
        Ok(ring)
    }

    /// Returns the CPU.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    fn store_in(&self, map: BorrowedFd<'_>) -> io::Result<()> {
        let value = self.fd.as_raw_fd();
        // SAFETY: a `bpf_attr` of zeros is valid.
        let mut attr: bpf_attr = unsafe { mem::zeroed() };
        attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
        attr.__bindgen_anon_2.key = (&raw const self.cpu).addr() as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = (&raw const value).addr() as u64;
        // SAFETY: key and value outlive the call and have the sizes that the map declares, four bytes each.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, bpf_cmd::BPF_MAP_UPDATE_ELEM, &raw const attr, size_of::<bpf_attr>())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Returns the records that are in the ring now.
    fn records(&mut self) -> Records<'_> {
        // SAFETY: the kernel writes `data_head` while we read it, so both fields are accessed atomically. They are
        // aligned and lie in the mapping, which lives as long as this value.
        let (head, tail) = unsafe {
            let control = self.control.as_ptr();
            (
                AtomicU64::from_ptr(&raw mut (*control).data_head),
                AtomicU64::from_ptr(&raw mut (*control).data_tail),
            )
        };
        // The kernel writes the records before it moves `data_head` past them (perf_output_put_handle).
        let end = head.load(Ordering::Acquire);
        // SAFETY: the data pages follow the control page. Only the bytes between tail and head are read. The kernel
        // does not write to these until the tail moves on, and the tail moves only past bytes that were read.
        let data = unsafe {
            std::slice::from_raw_parts(self.control.as_ptr().cast::<u8>().add(page_size()), self.data_len)
        };
        Records::new(data, tail, end, &mut self.scratch)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is our own mapping, and no reference to it is left.
        let _ = unsafe { munmap(self.control.as_ptr().cast(), self.mapped_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rings_share_64_mib_within_the_bounds_of_one() {
        let mib = 1 << 20;
        for (cpus, bytes) in [
            (1, 16 * mib),
            (4, 16 * mib),
            (16, 4 * mib),
            (17, 2 * mib),
            (64, mib),
            (256, mib / 4),
            (8192, mib / 4),
        ] {
            assert_eq!(default_ring_bytes(cpus), bytes, "{cpus}");
        }
    }
}
