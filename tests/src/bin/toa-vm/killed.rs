//! Runs that are killed at random moments under traffic, beside what others have attached.

use anyhow::{Result, ensure};
use aya::util::KernelVersion;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address, strangers::Strangers},
    peers::{answering::Answering, steady},
    tool::killed::Rounds,
};

/// The first kernel with TCX.
const TCX: KernelVersion = KernelVersion::new(6, 6, 0);

/// How many runs are killed.
const COUNT: u32 = 20;

/// Kills runs that are attached as netlink filters. Returns how many had left something.
pub(crate) fn check() -> Result<u32> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let server = Answering::start(&lab.server.namespace, nginx_address())?;
    let device = lab.server.clone();
    let strangers = Strangers::attach(&device, KernelVersion::current()? >= TCX)?;
    let rounds = Rounds { device: &device, arguments: &["--any", "--netlink"], count: COUNT };
    let mut left = 0;
    let answered = steady::during(&mut lab, |progress| {
        left = rounds.run(&strangers, progress)?;
        Ok(())
    })?;
    ensure!(server.served() == answered, "{answered} answers to {} requests", server.served());
    Ok(left)
}
