//! Several users' runs: they do not exclude each other, nobody reads or changes what another user has pinned, and
//! `--pin-dir` chooses another place.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, veth::Device},
    process::{Process, Signal},
    tool::{
        commands::{find_nothing, object, succeed},
        toa_tc::{self, NOTHING_FOUND, Output, ToaTc},
    },
    wait,
};

/// A user with the capabilities that `attach` needs, and no others.
const USER: [&str; 6] = [
    "setpriv",
    "--reuid=61235",
    "--regid=61235",
    "--clear-groups",
    "--inh-caps=+bpf,+net_admin,+perfmon",
    "--ambient-caps=+bpf,+net_admin,+perfmon",
];
const DIRECTORY_OF_USER: &str = "/sys/fs/bpf/toa-tc-61235";
/// A user with all capabilities that concern BPF, but none over files.
const OTHER: [&str; 6] = [
    "setpriv",
    "--reuid=61236",
    "--regid=61236",
    "--clear-groups",
    "--inh-caps=+bpf,+net_admin,+perfmon",
    "--ambient-caps=+bpf,+net_admin,+perfmon",
];

/// A copy of the tool that every user can run.
struct Copy {
    directory: TempDir,
}

impl Copy {
    fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let this = Self { directory };
        // Copied by another process: if a child of another test inherited our writable descriptor, the copy could
        // not be run.
        ensure!(Command::new("cp").arg(toa_tc::binary()?).arg(this.path()).status()?.success());
        Ok(this)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("toa-tc")
    }

    /// Runs a command as a user.
    fn run(&self, device: &Device, user: &[&str], arguments: &[&str]) -> Result<Output> {
        ToaTc::run_through(&device.namespace, user, &self.path(), arguments)
    }

    /// Attaches as a user, with rings that need no right to lock memory.
    fn attach(&self, device: &Device, user: &[&str], arguments: &[&str]) -> Result<Process> {
        let [program, options @ ..] = user else { anyhow::bail!("no user") };
        let said = self.directory.path().join("stderr");
        let mut command = device.namespace.command(program);
        command.args(options).arg(self.path()).args([
            "attach",
            &device.name,
            "--any",
            "--ring-size",
            "65536",
        ]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let mut tool = Process::new("toa-tc", command.spawn()?);
        wait::until("toa-tc to attach", || {
            let said = fs::read_to_string(&said)?;
            ensure!(tool.status()?.is_none(), "toa-tc ended: {said}");
            Ok(said.contains("attached to").then_some(()))
        })?;
        wait::until("the pins", || {
            let said = fs::read_to_string(&said)?;
            ensure!(!said.contains("will not see this run"), "{said}");
            Ok(mounts::pins()?.iter().any(|pin| pin.ends_with("INFO")).then_some(()))
        })?;
        Ok(tool)
    }
}

fn pids(device: &Device) -> Result<Vec<u64>> {
    let status = object(&device.namespace, &["status", "-o", "json"])?;
    let runs = status.get("runs").and_then(serde_json::Value::as_array).context("no runs")?;
    Ok(runs.iter().filter_map(|run| run["pid"].as_u64()).collect())
}

#[test]
fn users_do_not_exclude_each_other() -> Result<()> {
    let copy = Copy::new()?;
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let mut of_user = copy.attach(&lab.server, &USER, &[])?;
        assert_eq!(fs::metadata(DIRECTORY_OF_USER)?.uid(), 61_235);
        let of_root = ToaTc::attach(&lab.server, &["--any"])?;
        assert!(!of_root.stderr()?.contains("will not see"), "{}", of_root.stderr()?);

        // Root finds both; the user finds its own.
        let both = [u64::from(of_root.id()), u64::from(of_user.id())];
        assert_eq!(pids(&lab.server)?, both);
        for pid in both {
            let pid = pid.to_string();
            succeed(&lab.server.namespace, &["watch", "add", "203.0.113.9", "--pid", &pid])?;
        }
        let list = copy.run(&lab.server, &USER, &["watch", "list"])?.succeeded()?;
        assert_eq!(list.stdout, "203.0.113.9\nany\n");
        let refused = copy.run(&lab.server, &OTHER, &["watch", "list"])?;
        assert_eq!(refused.status.code(), Some(NOTHING_FOUND), "{}", refused.stdout);
        assert!(refused.stderr.contains("no toa-tc is attached"), "{}", refused.stderr);

        // Each clears up its own, and root also what the user left.
        of_user.stop(Signal::Kill)?;
        let detach = copy.run(&lab.server, &OTHER, &["detach"])?.succeeded()?;
        assert!(!detach.stderr.contains("removed"), "{}", detach.stderr);
        assert!(Path::new(DIRECTORY_OF_USER).exists());
        let detach = ToaTc::run(&lab.server.namespace, &["detach"])?.succeeded()?;
        assert_eq!(detach.stderr, "toa-tc: removed the pins of 1 killed run\n");
        assert!(!Path::new(DIRECTORY_OF_USER).exists());
        assert_eq!(pids(&lab.server)?, both[..1]);
        of_root.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        Ok(())
    })
}

#[test]
fn another_user_can_neither_read_nor_change_pins() -> Result<()> {
    let copy = Copy::new()?;
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let _of_root = ToaTc::attach(&lab.server, &["--any"])?;
        let _of_user = copy.attach(&lab.server, &USER, &[])?;
        let pins = wait::until("the pins of both", || {
            let pins = mounts::pins()?;
            let runs = pins.iter().filter(|pin| pin.ends_with("INFO")).count();
            Ok((runs == 2).then_some(pins))
        })?;
        for pin in &pins {
            let metadata = fs::metadata(pin)?;
            let allowed = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(metadata.mode() & 0o777, allowed, "{}", pin.display());
            let [program, options @ ..] = &OTHER;
            for tried in [&["ls"][..], &["rm", "-r"]] {
                let output = Command::new(program).args(options).args(tried).arg(pin).output()?;
                assert!(!output.status.success(), "{tried:?} {}", pin.display());
            }
        }
        for directory in ["/sys/fs/bpf/toa-tc", DIRECTORY_OF_USER] {
            for command in [&["list"][..], &["add", "203.0.113.9"], &["clear"]] {
                let arguments = [&["watch"], command, &["--pin-dir", directory]].concat();
                let output = copy.run(&lab.server, &OTHER, &arguments)?;
                assert_eq!((output.status.code(), output.stdout.as_str()), (Some(1), ""), "{arguments:?}");
            }
        }
        assert_eq!(mounts::pins()?, pins);
        Ok(())
    })
}

#[test]
fn a_pin_directory_can_be_chosen() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let chosen = format!("{}/mine", mounts::BPF);
        let arguments = ["--any", "--pin-dir", &chosen];
        let tool = ToaTc::attach(&lab.server, &arguments)?;
        assert_eq!(object(namespace, &["status", "-o", "json"])?["runs"], json!([]));
        assert_eq!(succeed(namespace, &["watch", "list", "--pin-dir", &chosen])?, "any\n");
        assert!(find_nothing(namespace, &["flows", "--pin-dir", &chosen])?.stdout.contains("0 followed"));
        let status = object(namespace, &["status", "-o", "json", "--pin-dir", &chosen])?;
        assert_eq!(status["runs"][0]["pid"], tool.id());
        // One that the run has made goes with it.
        tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());

        // One that was there stays.
        fs::create_dir(&chosen)?;
        ToaTc::attach(&lab.server, &arguments)?.stop(Signal::Interrupt)?.succeeded()?;
        ToaTc::attach(&lab.server, &arguments)?.stop(Signal::Kill)?;
        let detach = ToaTc::run(namespace, &["detach", "--pin-dir", &chosen])?.succeeded()?;
        assert_eq!(detach.stderr, "toa-tc: removed the pins of 1 killed run\n");
        assert_eq!(mounts::pins()?, [PathBuf::from(&chosen)]);
        Ok(())
    })
}

#[test]
fn a_pin_directory_elsewhere_is_one_line_and_exit_code_2() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    for command in ["attach", "watch list", "status", "flows", "detach"] {
        let interface = (command == "attach").then_some("web0");
        let arguments: Vec<_> = command.split(' ').chain(interface).chain(["--pin-dir", "/tmp"]).collect();
        let output = ToaTc::run(&lab.server.namespace, &arguments)?;
        let line =
            format!("toa-tc: --pin-dir: /tmp is not in a BPF file system (see toa-tc {command} --help)\n");
        assert_eq!((output.status.code(), output.stderr), (Some(2), line), "{command}");
    }
    Ok(())
}
