//! Kills runs at random moments, and checks that the next command leaves only what others have attached.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::{
    lab::{mounts, strangers::Strangers, veth::Device},
    peers::steady::Progress,
    process::{Process, Signal},
    tool::{
        attached,
        commands::succeed,
        toa_tc::{self, ToaTc},
    },
    wait,
};

/// How to kill runs.
#[derive(Clone, Copy, Debug)]
pub struct Rounds<'a> {
    /// The device that the runs attach to.
    pub device: &'a Device,
    /// Their arguments.
    pub arguments: &'a [&'a str],
    /// How many runs are killed.
    pub count: u32,
}

impl Rounds<'_> {
    /// Kills the runs. After each, `toa-tc detach` or the next run removes what it left, by turns. Returns how many had left
    /// something.
    pub fn run(&self, strangers: &Strangers, progress: &Progress) -> Result<u32> {
        let before = progress.answered();
        ToaTc::attach(self.device, self.arguments)?.stop(Signal::Interrupt)?.succeeded()?;
        let requests = progress.answered() - before;
        let mut left = 0;
        for round in 0..self.count {
            // Every other pair of rounds begins when something is pinned: how long that takes depends on what else runs.
            let is_pinned = round % 4 >= 2;
            self.kill_one(is_pinned, requests, progress).with_context(|| format!("round {round}"))?;
            left += u32::from(!mounts::pins()?.is_empty());
            if round % 2 == 0 {
                succeed(&self.device.namespace, &["detach"])?;
            } else {
                let next = ToaTc::attach(self.device, self.arguments)?;
                ensure!(self.is_attached()?, "the next run is not attached");
                next.stop(Signal::Interrupt)?.succeeded()?;
            }
            // The kernel detaches TCX links slightly later than their processes end.
            wait::until("what others attached, and nothing else", || Ok(strangers.check().ok()))
                .with_context(|| format!("round {round}: {:?}", strangers.check()))?;
            let pins = mounts::pins()?;
            ensure!(pins.is_empty(), "round {round}: {pins:?}");
        }
        Ok(left)
    }

    /// Starts a run and kills it after a random number of requests, whether or not it is attached by then, or if it
    /// `is_pinned` after it has pinned something.
    fn kill_one(&self, is_pinned: bool, requests: u64, progress: &Progress) -> Result<()> {
        let mut command = self.device.namespace.command(toa_tc::binary()?);
        command.args(["attach", &self.device.name]).args(self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut tool = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
        if is_pinned {
            wait::until("pins", || Ok((!mounts::pins()?.is_empty()).then_some(())))?;
        }
        progress.wait_for(fastrand::u64(..=requests))?;
        tool.stop(Signal::Kill).map(drop)
    }

    fn is_attached(&self) -> Result<bool> {
        let is_ours = |name: &str| name.contains(attached::PROGRAM);
        Ok(is_ours(&attached::filters_on(self.device)?)
            || attached::on(self.device).is_ok_and(|programs| programs.iter().any(|it| is_ours(&it.name))))
    }
}
