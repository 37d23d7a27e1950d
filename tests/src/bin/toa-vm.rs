//! Responsible for the verifier's verdict: loads every program of every object on the running kernel and says how many
//! instructions were verified. Not responsible for what the programs do, nor for booting kernels (`cargo xtask vm`).

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{EbpfLoader, VerifierLogLevel, programs::Program};

/// More verified instructions than this leave too little of the kernel's limit, 1,000,000 since 5.2.
const MAX_VERIFIED: u32 = 500_000;

/// An object on any address; the ELF reader wants it aligned.
macro_rules! object {
    ($variable:literal) => {
        aya::include_bytes_aligned!(env!($variable))
    };
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Loads everything and prints one line a program.
fn run() -> Result<()> {
    let objects: [(&str, &[u8]); 3] = [
        ("toa-ingress", object!("TOA_INGRESS_OBJECT")),
        ("toa-probe", object!("TOA_PROBE_OBJECT")),
        ("toa-lab-ebpf", object!("TOA_LAB_OBJECT")),
    ];
    let mut loaded = 0_u32;
    for (object, bytes) in objects {
        loaded += load(object, bytes)?;
    }
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?;
    println!("vm: {loaded} programs loaded on {}", kernel.trim());
    Ok(())
}

/// Loads one object's programs and returns how many they are.
fn load(object: &str, bytes: &[u8]) -> Result<u32> {
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::STATS)
        .load(bytes)
        .with_context(|| format!("{object} does not load"))?;
    let mut loaded = 0;
    for (name, program) in ebpf.programs_mut() {
        let info = match program {
            Program::SchedClassifier(program) => program.load().and_then(|()| program.info()),
            Program::SockOps(program) => program.load().and_then(|()| program.info()),
            Program::CgroupSockAddr(program) => program.load().and_then(|()| program.info()),
            other => bail!("{object}: {name} is a {:?}, which this check does not know", other.prog_type()),
        };
        let info = info.with_context(|| format!("{object}: {name} does not load"))?;
        let verified =
            info.verified_instruction_count().context("this kernel does not count instructions")?;
        println!("{object}: {name}: processed {verified} insns");
        ensure!(verified <= MAX_VERIFIED, "{object}: {name}: more than {MAX_VERIFIED} verified instructions");
        loaded += 1;
    }
    ensure!(loaded > 0, "{object} has no programs");
    Ok(loaded)
}
