//! A program that runs beside nginx.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use toa_tests::{
    lab::veth::Device,
    process::{Process, Signal},
    tool::{
        toa_tc::ToaTc,
        usage::{self, Usage},
    },
    wait,
};

use crate::{
    ids::Ids,
    row::{Begins, DEVICE, Program, RESULTS},
};

/// A program is idle if it has used no CPU time for so long.
const IDLE: Duration = Duration::from_millis(500);
/// How long a program may need to catch up, and to end.
const PATIENCE: Duration = Duration::from_secs(2 * 60);

/// A running program.
pub(crate) enum Running {
    /// The tool.
    ToaTc(ToaTc),
    /// Another program.
    Peer(Peer),
}

/// What a program has left.
pub(crate) struct Left {
    /// The requests that it shows.
    pub(crate) ids: Ids,
    /// The packets that it admits to have lost, if it says so.
    pub(crate) lost: Option<u64>,
}

impl Running {
    /// Starts a program on a device and waits until it captures.
    pub(crate) fn start(program: &Program, device: &Device) -> Result<Self> {
        match program {
            Program::ToaTc(options) => ToaTc::attach(device, options).map(Self::ToaTc),
            Program::Peer(script, begins) => Peer::start(script, *begins, device).map(Self::Peer),
        }
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::ToaTc(tool) => tool.id(),
            Self::Peer(peer) => peer.process.id(),
        }
    }

    /// Returns what it has used so far, including its children.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage::of_tree(self.id())
    }

    /// Waits until it has nothing to do any more, and returns what it has used.
    pub(crate) fn usage_when_idle(&self) -> Result<Usage> {
        let (mut last, mut since) = (self.usage()?, Instant::now());
        wait::within(PATIENCE, "a program to catch up", || {
            let now = self.usage()?;
            if now.cpu != last.cpu {
                (last, since) = (now, Instant::now());
            }
            // The tool polls its rings for as long as it runs, and reads them once more before it ends.
            Ok((matches!(self, Self::ToaTc(_)) || since.elapsed() >= IDLE).then_some(now))
        })
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Result<Left> {
        match self {
            Self::ToaTc(tool) => {
                let output = tool.stop(Signal::Interrupt)?.succeeded()?;
                let ledger = output.ledger()?;
                ledger.check()?;
                Ok(Left { ids: Ids::of(output.stdout.as_bytes()), lost: Some(ledger.packets("lost")?) })
            }
            Self::Peer(peer) => peer.stop(),
        }
    }
}

/// A program other than the tool.
pub(crate) struct Peer {
    process: Process,
    directory: TempDir,
}

impl Peer {
    fn start(script: &str, begins: Begins, device: &Device) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-load-").tempdir()?;
        let [results, scratch] = ["results", "scratch"].map(|name| directory.path().join(name));
        for path in [&results, &scratch] {
            fs::create_dir(path)?;
        }
        let script = script.replace(DEVICE, &device.name).replace(RESULTS, &results.display().to_string());
        let sockets = packet_sockets(device)?;
        let mut command = device.namespace.command("unshare");
        command.args(["--mount", "sh", "-c", &script]).env("TMPDIR", scratch);
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(directory.path());
        let child = command.stderr(File::create(directory.path().join("stderr"))?).spawn();
        let mut process = Process::new("a peer", child.context("starting a peer")?);
        wait::until("a peer to capture", || {
            let said = || fs::read_to_string(directory.path().join("stderr"));
            ensure!(process.status()?.is_none(), "a peer ended early: {}", said()?);
            let has_begun = match begins {
                Begins::WithSocket => packet_sockets(device)? > sockets,
                Begins::WithLine => fs::read(results.join("out")).is_ok_and(|out| contains_ready(&out)),
            };
            Ok(has_begun.then_some(()))
        })?;
        Ok(Self { process, directory })
    }

    fn stop(mut self) -> Result<Left> {
        self.process.signal(Signal::Interrupt)?;
        self.process.wait(PATIENCE)?;
        let mut ids = Ids::default();
        for file in fs::read_dir(self.directory.path().join("results"))? {
            ids.add(&fs::read(file?.path())?);
        }
        Ok(Left { ids, lost: lost(&self.directory.path().join("stderr"))? })
    }
}

fn contains_ready(out: &[u8]) -> bool {
    out.split(|byte| *byte == b'\n').any(|line| line == b"ready")
}

/// Returns the number of packet sockets in a device's namespace.
fn packet_sockets(device: &Device) -> Result<usize> {
    device.namespace.run(|| Ok(fs::read_to_string("/proc/thread-self/net/packet")?.lines().count()))
}

/// Returns what a program says it has lost: the number before `packets dropped` or `events lost`.
fn lost(stderr: &Path) -> Result<Option<u64>> {
    let said = fs::read_to_string(stderr)?;
    let words: Vec<_> = said.split_whitespace().collect();
    let mut counts = words.windows(3).filter_map(|window| match window {
        [number, "packets" | "packet", "dropped"] => number.parse::<u64>().ok(),
        ["Lost", number, "events"] => number.parse().ok(),
        _ => None,
    });
    Ok(counts.next().map(|first| first + counts.sum::<u64>()))
}
