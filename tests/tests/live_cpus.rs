//! Packets are read from every CPU that they arrive on.
#![cfg(feature = "kernel")]

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{MapData, MapInfo},
    programs::loaded_programs,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::{attached, toa_tc::ToaTc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Returns the CPUs that this thread may run on.
fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Pins this thread to one CPU. A packet arrives on the CPU that its sender runs on.
fn stay_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[test]
fn a_container_that_hides_cpus_hides_no_packets() -> Result<()> {
    let online = "/sys/devices/system/cpu/online";
    mounts::with_content(online, "0\n", || {
        ensure!(fs::read_to_string(online)? == "0\n", "the file was not replaced");
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        let mut asked = Vec::new();
        for cpu in cpus()? {
            stay_on(cpu)?;
            let target = format!("/cpu{cpu}");
            lab.connect(Some(CLIENT.into()))?.ask(Request::get(&target))?;
            asked.push(target);
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let mut printed: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
        printed.sort();
        asked.sort();
        assert_eq!(printed, asked, "{}", output.stderr);
        assert_eq!(output.ledger()?.packets("lost")?, 0, "{}", output.stderr);
        Ok(())
    })
}

/// Returns the perf event array of the program that is attached to the lab's server.
fn events(lab: &Lab) -> Result<MapData> {
    let attached = attached::on(&lab.server)?;
    let program = attached.first().context("nothing is attached")?;
    let info = loaded_programs().filter_map(Result::ok).find(|it| it.id() == program.id);
    let maps = info.context("it is not loaded")?.map_ids()?.context("it has no maps")?;
    let is_events = |id: &&u32| MapInfo::from_id(**id).is_ok_and(|map| map.name_as_str() == Some("EVENTS"));
    Ok(MapData::from_id(*maps.iter().find(is_events).context("no EVENTS")?)?)
}

/// Removes a CPU's ring, as if the CPU had come online after the run began.
fn remove_ring(map: BorrowedFd<'_>, cpu: u32) -> Result<()> {
    /// `BPF_MAP_DELETE_ELEM` of `linux/bpf.h`.
    const DELETE: libc::c_long = 3;
    /// The part of `bpf_attr` that this command uses.
    #[repr(C)]
    struct Element {
        map: u32,
        unused: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let key = (&raw const cpu).addr() as u64;
    let element = Element { map: map.as_raw_fd().cast_unsigned(), unused: 0, key, value: 0, flags: 0 };
    // SAFETY: the attributes and the key, which has four bytes, outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, DELETE, &raw const element, size_of::<Element>()) };
    ensure!(result == 0, "BPF_MAP_DELETE_ELEM: {}", io::Error::last_os_error());
    Ok(())
}

#[test]
fn a_cpu_without_a_ring_gets_one_and_what_it_lost_is_said() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let cpu = *cpus()?.first().context("no CPU")?;
    remove_ring(events(&lab)?.fd().as_fd(), u32::try_from(cpu)?)?;
    stay_on(cpu)?;
    let line = format!("toa-tc: CPU {cpu} came online: its packets are read\n");
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    wait::until("the ring", || {
        connection.ask(Request::get("/lost"))?;
        Ok(tool.stderr()?.contains(&line).then_some(()))
    })?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/read"))?;
    wait::until("its packets", || Ok(tool.stdout()?.contains("GET /read ").then_some(())))?;
    let lost = " lost in 10 s: a CPU had no ring\n";
    wait::until("the line", || Ok(tool.stderr()?.contains(lost).then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.stderr.matches(&line).count(), 1, "{}", output.stderr);
    let ledger = output.ledger()?;
    ledger.check()?;
    assert!(ledger.packets("lost")? > 0, "{}", output.stderr);
    Ok(())
}
