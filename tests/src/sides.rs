//! Responsible for taking packets on both sides, user space and kernel, and for comparing them. Not responsible for what
//! is right: see [`crate::tables`].

use anyhow::{Result, ensure};
use toa_common::{
    counters::Counter,
    digest::digest,
    follow::{Action, LearnedFrom},
    record::flags,
};

use crate::{
    host::{Choice, Followed, Host, Taken, Watch},
    probe::Probe,
};

/// Makes the sides that a test is about.
pub type Open = fn(&Choice) -> Result<Sides>;

/// User space, and the kernel where a test is about both.
pub struct Sides {
    choice: Choice,
    host: Host,
    probe: Option<Probe>,
    /// What the kernel must have counted since it was loaded.
    counted: Counted,
}

/// Packets by what was decided on them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counted {
    learned: u64,
    replaced: u64,
    forgotten: u64,
    conflicts: u64,
    skipped: u64,
}

impl Sides {
    /// User space alone.
    pub fn user_space(choice: &Choice) -> Result<Self> {
        let host = Host::new(choice.clone(), Watch::Nobody);
        Ok(Self { choice: choice.clone(), host, probe: None, counted: Counted::default() })
    }

    /// Both.
    pub fn with_kernel(choice: &Choice) -> Result<Self> {
        Ok(Self { probe: Some(Probe::load_with(choice)?), ..Self::user_space(choice)? })
    }

    /// Forgets all connections and watches whom it is told.
    pub fn restart(&mut self, watch: Watch) -> Result<()> {
        self.host = Host::new(self.choice.clone(), watch);
        self.probe.as_mut().map_or(Ok(()), |probe| probe.restart(watch))
    }

    /// Takes a packet, and fails unless all sides take it for the same.
    pub fn take(&mut self, frame: &[u8]) -> Result<Taken> {
        let taken = self.host.take(frame);
        match &taken {
            Ok((_, decision)) => {
                match decision.action {
                    Action::Learn => self.counted.learned += 1,
                    Action::Replace => self.counted.replaced += 1,
                    Action::End => self.counted.forgotten += 1,
                    Action::Ignore | Action::Follow => {}
                }
                self.counted.conflicts += u64::from(decision.conflict);
            }
            Err(_) => self.counted.skipped += 1,
        }
        if let Some(probe) = &mut self.probe {
            let here = digest(taken.as_ref().map(|(found, decision)| (found, *decision)).map_err(|it| *it));
            let there = probe.run(frame)?;
            ensure!(
                there == here,
                "{there:#x} in the kernel, {here:#x} in user space: {taken:?}: {frame:02x?}"
            );
        }
        Ok(taken)
    }

    /// What is kept of the connection of a packet that was taken; the same on all sides, or an error.
    pub fn followed(&self, taken: &Taken) -> Result<Option<Followed>> {
        let Ok((inspected, _)) = taken else {
            return Ok(None);
        };
        let here = self.host.followed(inspected);
        if let Some(probe) = &self.probe {
            let there = probe.flow(&inspected.tcp.key)?;
            let of_kernel = there.map(|flow| {
                let client = (flow.client_address, flow.client_port_be);
                let provisional = flow.flags & flags::PROVISIONAL != 0;
                (client, provisional, flow.first_seq, LearnedFrom::from_byte(flow.learned_from))
            });
            let of_host = here.map(|Followed { known, learned_from }| {
                let client = (known.client.address, known.client.port_be);
                (client, known.provisional, known.first_seq.0, Some(learned_from))
            });
            ensure!(of_kernel == of_host, "{there:?} in the kernel, {here:?} in user space");
        }
        Ok(here)
    }

    /// Fails unless the kernel has counted what was decided, and remembered whom it did not believe.
    pub fn check_counts(&self) -> Result<()> {
        let Some(probe) = &self.probe else {
            return Ok(());
        };
        let mut skipped = 0;
        for counter in [
            Counter::NotIp,
            Counter::NotTcp,
            Counter::Fragment,
            Counter::Truncated,
            Counter::Malformed,
            Counter::ExtensionHeaders,
            Counter::OtherPort,
        ] {
            skipped += probe.count(counter)?;
        }
        let counted = Counted {
            learned: probe.count(Counter::Learned)?,
            replaced: probe.count(Counter::Replaced)?,
            forgotten: probe.count(Counter::Forgotten)?,
            conflicts: probe.count(Counter::Conflict)?,
            skipped,
        };
        ensure!(counted == self.counted, "the kernel has counted {counted:?}, not {:?}", self.counted);
        ensure!(
            probe.untrusted()? == *self.host.untrusted(),
            "the kernel distrusts {:?}",
            probe.untrusted()?
        );
        Ok(())
    }
}
