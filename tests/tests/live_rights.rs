//! Once attached, a run has given up what it does not need, in every thread, and still does everything that it must.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, toa_module::ToaModule},
    peers::client::Request,
    process::{Process, Signal, children},
    tool::{
        attached, seccomp,
        thread_rights::{self, ThreadRights},
        toa_tc::{self, Start, ToaTc},
    },
    wait::{self, PATIENCE},
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Numbers of capabilities in `linux/capability.h`.
const NET_ADMIN: u32 = 12;
const IPC_LOCK: u32 = 14;
const SYS_PTRACE: u32 = 19;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// The tool where every user can run it, and what runs it as a user with these capabilities only.
struct AsUser {
    directory: TempDir,
    wrapper: Vec<String>,
}

impl AsUser {
    fn new(capabilities: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-user-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
        // Copied by another process: if a child of another test inherited our writable descriptor, the copy
        // could not be run.
        let copied =
            std::process::Command::new("cp").arg(toa_tc::binary()?).arg(directory.path()).status()?;
        ensure!(copied.success(), "cannot copy the tool");
        let wrapper = [
            "setpriv",
            "--reuid=61236",
            "--regid=61236",
            "--clear-groups",
            &format!("--bounding-set=-all,{capabilities}"),
            &format!("--inh-caps=-all,{capabilities}"),
            &format!("--ambient-caps=-all,{capabilities}"),
        ];
        Ok(Self { directory, wrapper: wrapper.map(str::to_owned).into() })
    }

    fn binary(&self) -> PathBuf {
        self.directory.path().join("toa-tc")
    }

    /// Starts `attach` and waits until it is attached.
    fn attach(&self, lab: &Lab, arguments: &[&str]) -> Result<Running> {
        Running::start(lab, &self.wrapper, &self.binary(), self.directory.path(), arguments, |_| Ok(()))
    }

    /// Runs another command as the same user.
    fn run(&self, lab: &Lab, arguments: &[&str]) -> Result<toa_tc::Output> {
        let wrapper: Vec<_> = self.wrapper.iter().map(String::as_str).collect();
        ToaTc::run_through(&lab.server.namespace, &wrapper, &self.binary(), arguments)
    }
}

/// A run that was started in another way than usual.
struct Running {
    process: Process,
    directory: PathBuf,
}

impl Running {
    fn start(
        lab: &Lab,
        wrapper: &[String],
        binary: &Path,
        directory: &Path,
        arguments: &[&str],
        prepare: impl FnOnce(&mut std::process::Command) -> Result<()>,
    ) -> Result<Self> {
        let ready_file = directory.join("ready");
        let mut command = match wrapper.split_first() {
            Some((program, options)) => {
                let mut command = lab.server.namespace.command(program);
                command.args(options).arg(binary);
                command
            }
            None => lab.server.namespace.command(binary),
        };
        command.args(["attach", "web0"]).args(arguments).arg("--ready-file").arg(&ready_file);
        command.stdin(Stdio::null()).stdout(File::create(directory.join("stdout"))?);
        command.stderr(File::create(directory.join("stderr"))?);
        prepare(&mut command)?;
        let mut process = Process::new("toa-tc", command.spawn()?);
        wait::until("toa-tc to attach", || {
            if let Some(status) = process.status()? {
                anyhow::bail!("{status}: {}", fs::read_to_string(directory.join("stderr"))?);
            }
            Ok(ready_file.exists().then_some(()))
        })?;
        Ok(Self { process, directory: directory.to_owned() })
    }

    fn stderr(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("stderr"))?)
    }

    fn stdout(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("stdout"))?)
    }

    fn wait_for_output(&self, text: &str) -> Result<()> {
        wait::until(text, || Ok(self.stdout()?.contains(text).then_some(())))
            .with_context(|| self.stderr().unwrap_or_default())
    }
}

/// Waits until a run has given up everything but these capabilities in its main thread, and everything in others. The
/// main thread may also keep `CAP_IPC_LOCK` where locked memory is limited.
fn wait_until_dropped(process: u32, main: &[u32]) -> Result<()> {
    let main = main.iter().fold(0, |set, capability| set | 1 << capability);
    let is_dropped = |thread: &ThreadRights| {
        let kept = if thread.name == "toa-tc" { thread.capabilities & !(1 << IPC_LOCK) } else { main };
        // The thread that looks into other processes has what the main thread has.
        let is_idle = thread.name == "toa-tc" || thread.name == "scan" || thread.capabilities == 0;
        kept == main && is_idle && thread.no_new_privs && thread.seccomp == 2
    };
    let mut threads = Vec::new();
    let dropped = wait::until("all threads to give up their rights", || {
        threads = thread_rights::of(process)?;
        Ok(threads.iter().all(is_dropped).then_some(()))
    });
    dropped.with_context(|| format!("{threads:#?}"))?;
    ensure!(threads.len() > 2, "too few threads: {threads:?}");
    Ok(())
}

#[test]
fn a_user_with_exactly_the_named_capabilities_gives_them_up_and_rules_still_change() -> Result<()> {
    let user = AsUser::new("+bpf,+net_admin,+perfmon")?;
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let mut run = user.attach(&lab, &["--ip", "198.51.100.1", "--ring-size", "65536"])?;
        let (process, programs) = (run.process.id(), attached::on(&lab.server)?);
        wait_until_dropped(process, &[NET_ADMIN, BPF])?;
        let changed = user.run(&lab, &["watch", "add", "203.0.113.9"])?;
        assert_eq!(changed.status.code(), Some(0), "{}", changed.stderr);
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/added"))?;
        run.wait_for_output("GET /added HTTP/1.1")?;
        // What opens rings for CPUs that come later has nothing else.
        let children = children(process)?;
        let [child] = children[..] else { anyhow::bail!("children: {children:?}") };
        for thread in thread_rights::of(child)? {
            assert_eq!((thread.capabilities, thread.seccomp), (1 << PERFMON, 2), "{thread:?}");
        }
        let status = run.process.stop(Signal::Interrupt)?;
        assert_eq!(status.code(), Some(0), "{}", run.stderr()?);
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        assert!(!Path::new(&format!("/proc/{child}")).exists(), "the other process stays");
        attached::wait_until_gone(&programs)
    })
}

#[test]
fn existing_connections_are_found_afterwards_and_other_threads_have_no_rights() -> Result<()> {
    let user = AsUser::new("+bpf,+net_admin,+perfmon,+sys_ptrace,+dac_read_search")?;
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let mut module = ToaModule::load(&lab.server.namespace)?;
        let _nginx = lab.nginx()?;
        let mut connection = lab.connect_unmarked(&mut module, CLIENT.into())?;
        connection.ask(Request::get("/before"))?;
        let arguments = ["--existing", "--ip", "198.51.100.1", "--ring-size", "65536"];
        let mut run = user.attach(&lab, &arguments)?;
        wait_until_dropped(run.process.id(), &[NET_ADMIN, BPF, PERFMON, SYS_PTRACE, 2])?;
        wait::until("the first look", || Ok(run.stderr()?.contains("open connections: ").then_some(())))?;
        let changed = user.run(&lab, &["watch", "add", "203.0.113.9"])?;
        assert_eq!(changed.status.code(), Some(0), "{}", changed.stderr);
        wait::until("another look", || {
            Ok(run.stderr()?.contains("open connections: following 1 more").then_some(()))
        })
        .with_context(|| run.stderr().unwrap_or_default())?;
        connection.ask(Request::get("/after"))?;
        run.wait_for_output("GET /after HTTP/1.1")?;
        let status = run.process.stop(Signal::Interrupt)?;
        assert_eq!(status.code(), Some(0), "{}", run.stderr()?);
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        Ok(())
    })
}

#[test]
fn root_keeps_what_removes_its_filter() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let tool = ToaTc::attach_as(&lab.server, &["--any", "--netlink"], Start::default())?;
        wait_until_dropped(tool.id(), &[NET_ADMIN, BPF])?;
        ensure!(attached::filters_on(&lab.server)?.contains("toa_ingress_eth"), "no filter");
        // The reader of the rings alone has a higher priority.
        let mut nice: Vec<_> = thread_rights::of(tool.id())?.iter().map(|thread| thread.nice).collect();
        nice.sort_unstable();
        ensure!(nice.first() == Some(&-10) && nice.get(1) == Some(&0), "{nice:?}");
        tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(attached::filters_on(&lab.server)?, "");
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        Ok(())
    })
}

#[test]
fn what_the_kernel_refuses_is_said_with_v_and_the_run_goes_on() -> Result<()> {
    for (call, line) in [
        (libc::SYS_landlock_create_ruleset, "this kernel has no Landlock"),
        (libc::SYS_seccomp, "cannot restrict system calls by seccomp"),
    ] {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let directory = tempfile::Builder::new().prefix("toa-refused-").tempdir()?;
        let refuse = |command: &mut std::process::Command| seccomp::refuse(command, call, libc::EOPNOTSUPP);
        let binary = toa_tc::binary()?;
        let mut run = Running::start(&lab, &[], &binary, directory.path(), &["--any", "-v"], refuse)?;
        let client: SocketAddr = CLIENT.into();
        lab.connect(Some(client))?.ask(Request::get("/still"))?;
        run.wait_for_output("GET /still HTTP/1.1")?;
        let status = run.process.stop(Signal::Interrupt)?;
        let said = run.stderr()?;
        assert_eq!(status.code(), Some(0), "{said}");
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
    Ok(())
}

#[test]
fn a_service_tells_when_it_is_ready_and_opens_its_file_again() -> Result<()> {
    let user = AsUser::new("+bpf,+net_admin,+perfmon")?;
    let manager = user.directory.path().join("notify");
    let socket = UnixDatagram::bind(&manager)?;
    fs::set_permissions(&manager, fs::Permissions::from_mode(0o777))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let told = || -> Result<String> {
        let mut text = [0; 256];
        let len = socket.recv(&mut text).context("the service manager is told nothing")?;
        Ok(String::from_utf8_lossy(text.get(..len).unwrap_or_default()).trim().to_owned())
    };
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let (file, old) = (user.directory.path().join("results"), user.directory.path().join("results.1"));
    let name = file.to_str().context("no text")?;
    let arguments = ["--any", "--ring-size", "65536", "--output-file", name];
    let with_manager = |command: &mut std::process::Command| {
        command.env("NOTIFY_SOCKET", &manager);
        Ok(())
    };
    let directory = user.directory.path();
    let mut run = Running::start(&lab, &user.wrapper, &user.binary(), directory, &arguments, with_manager)?;
    assert_eq!(told()?, "READY=1");
    wait_until_dropped(run.process.id(), &[NET_ADMIN, BPF])?;
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    let is_in = |path: &Path, target: &str| -> Result<Option<()>> {
        Ok(fs::read_to_string(path).unwrap_or_default().contains(target).then_some(()))
    };
    connection.ask(Request::get("/first"))?;
    wait::until("the first request", || is_in(&file, "GET /first "))?;
    fs::rename(&file, &old)?;
    run.process.signal(Signal::Hangup)?;
    wait::until("the new file", || Ok(file.exists().then_some(())))?;
    connection.ask(Request::get("/second"))?;
    wait::until("the second request", || is_in(&file, "GET /second "))?;
    assert_eq!(is_in(&old, "GET /second ")?, None);
    let status = run.process.stop(Signal::Terminate)?;
    assert_eq!(told()?, "STOPPING=1");
    assert_eq!((status.code(), run.stdout()?.as_str()), (Some(0), ""), "{}", run.stderr()?);
    assert_eq!(attached::on(&lab.server)?, []);
    Ok(())
}
