//! Loads every program of every object and prints how many instructions the verifier processed.

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Btf, EbpfLoader, VerifierLogLevel,
    programs::{Program, ProgramInfo},
};
use toa_common::{
    config::Config,
    wire::toa_pairs::{KNOWN_PAIRS, ToaPairs},
};

/// Maximum number of verified instructions: half of the kernel's limit, 1,000,000 since 5.2.
const MAX_VERIFIED: u32 = 500_000;

/// Embeds an object with the alignment that the ELF reader needs.
macro_rules! object {
    ($variable:literal) => {
        aya::include_bytes_aligned!(env!($variable))
    };
}

/// Loads all programs with the smallest and the largest configuration of a run, and prints one line per
/// program. Returns the number of programs. Fails after all of them if the kernel refuses any.
pub(crate) fn run() -> Result<u32> {
    let everything = Config::DEFAULT
        .with_pairs(ToaPairs::new(&KNOWN_PAIRS))
        .picking_last()
        .with_balancers()
        .with_server_port(80);
    let choices = vec![
        ("", Config::DEFAULT),
        (", all options", everything),
        (", any flow", everything.following_any()),
    ];
    let (mut count, mut refused) = (0, 0);
    for (object, bytes) in [
        ("toa-ingress", object!("TOA_INGRESS_OBJECT") as &[u8]),
        ("toa-probe", object!("TOA_PROBE_OBJECT")),
        ("toa-remember", object!("TOA_REMEMBER_OBJECT")),
    ] {
        for (what, config) in &choices {
            let mut loader = EbpfLoader::new();
            loader.override_global("CONFIG", config, true);
            count += load(&format!("{object}{what}"), &mut loader, bytes, &mut refused)?;
        }
    }
    for (object, bytes) in [
        ("toa-sockets", object!("TOA_SOCKETS_OBJECT") as &[u8]),
        ("toa-remembered", object!("TOA_REMEMBERED_OBJECT")),
        ("toa-lab-ebpf", object!("TOA_LAB_OBJECT")),
        ("toa-module-ebpf", object!("TOA_MODULE_OBJECT")),
        ("toa-bench-ebpf", object!("TOA_BENCH_OBJECT")),
    ] {
        count += load(object, &mut EbpfLoader::new(), bytes, &mut refused)?;
    }
    ensure!(refused == 0, "{refused} programs do not load");
    Ok(count)
}

/// Loads one object's programs and returns their number. Counts and reports those that the kernel refuses.
fn load(object: &str, loader: &mut EbpfLoader<'_>, bytes: &[u8], refused: &mut u32) -> Result<u32> {
    let mut ebpf = loader
        .verifier_log_level(VerifierLogLevel::STATS)
        .load(bytes)
        .with_context(|| format!("{object} does not load"))?;
    let mut count = 0;
    for (name, program) in ebpf.programs_mut() {
        let info = match program {
            Program::SchedClassifier(program) => program.load().and_then(|()| program.info()),
            Program::SockOps(program) => program.load().and_then(|()| program.info()),
            Program::Iter(program) => program.load("tcp", &Btf::from_sys_fs()?).and_then(|()| program.info()),
            Program::UProbe(program) => program.load().and_then(|()| program.info()),
            Program::RawTracePoint(program) => program.load().and_then(|()| program.info()),
            Program::CgroupSockAddr(program) => program.load().and_then(|()| program.info()),
            Program::CgroupSockopt(program) => program.load().and_then(|()| program.info()),
            other => bail!("{object}: {name} is a {:?}, which this check does not know", other.prog_type()),
        };
        match info {
            Ok(info) => {
                check(object, name, &info)?;
                count += 1;
            }
            Err(error) => {
                eprintln!("error: {object}: {name} does not load: {error}");
                *refused += 1;
            }
        }
    }
    ensure!(count + *refused > 0, "{object} has no programs");
    Ok(count)
}

/// Prints how many instructions the verifier processed, and fails if there are too many. Kernels before 5.16 do not tell
/// that of a program that they have accepted.
fn check(object: &str, name: &str, info: &ProgramInfo) -> Result<()> {
    let Some(verified) = info.verified_instruction_count() else {
        println!("{object}: {name}: accepted; this kernel does not tell how many insns it processed");
        return Ok(());
    };
    println!("{object}: {name}: processed {verified} insns");
    ensure!(verified <= MAX_VERIFIED, "{object}: {name}: more than {MAX_VERIFIED} verified instructions");
    Ok(())
}
