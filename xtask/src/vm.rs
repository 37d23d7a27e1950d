//! Responsible for loading every eBPF program on this kernel and, in a virtual machine, on Debian's 6.1.
//! Not responsible for the check itself (`tests/src/bin/toa-vm.rs`) nor for fetching the kernel (`setup`).

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Workspace, build, exec, setup, test, toolchain};

/// From power-on to power-off. The emulated processor takes seconds for what takes this one milliseconds.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Printed by init before the program starts.
const BEGIN: &str = "xtask-vm: begin";

/// Printed by init before the program's exit status.
const END: &str = "xtask-vm: exit status ";

/// The first process of the VM. devtmpfs gives the program its devices; the rest is what a real host has mounted.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t bpf bpf /sys/fs/bpf
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox ip link set lo up
echo 'xtask-vm: begin'
/toa-vm
echo \"xtask-vm: exit status $?\"
/bin/busybox poweroff -f
";

/// Options of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keep the VM's console log when all went well, too
    #[arg(long)]
    keep_log: bool,
}

/// Runs the check on both kernels.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let installed = setup::provide(workspace, setup::Scope::Tests)?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }
    let tally = tally(workspace, options.keep_log)?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the check on both kernels; each counts as one test.
pub(crate) fn tally(workspace: &Workspace, keep_log: bool) -> Result<test::Tally> {
    let [program] = build::release(workspace, ["toa-vm"])?;
    let mut tally = test::Tally::default();
    let mut count = |kernel: &str, result: Result<()>| match result {
        Ok(()) => tally.passed += 1,
        Err(error) => {
            eprintln!("error: vm: {kernel}: {error:#}");
            tally.failed += 1;
        }
    };
    if test::is_root()? {
        count("this kernel", exec::run(&mut Command::new(&program)));
    } else {
        println!("xtask: vm: not run on this kernel, which needs root");
    }
    count("VM", boot(workspace, &program, keep_log));
    Ok(tally)
}

/// Boots the VM with the program and takes its result.
fn boot(workspace: &Workspace, program: &Path, keep_log: bool) -> Result<()> {
    let directory = workspace.target.join("vm");
    let kernel =
        setup::kernel::find(workspace)?.context("no kernel for the VM: run `cargo xtask setup --tests`")?;
    let initramfs = initramfs(&directory, program)?;
    let log = directory.join("console.log");

    let mut qemu = Command::new("qemu-system-x86_64");
    // Emulation only: it works where this host is a virtual machine itself.
    qemu.args(["-accel", "tcg", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot", "-nodefaults"]);
    qemu.args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    let status =
        console(&mut qemu, &log).with_context(|| format!("the console's log is {}", log.display()))?;
    ensure!(status == 0, "exit status {status}; the console's log is {}", log.display());
    if keep_log {
        println!("xtask: vm: the console's log is {}", log.display());
    } else {
        fs::remove_file(log)?;
    }
    Ok(())
}

/// Runs the VM, passes the program's output on as it comes, and returns the program's exit status.
fn console(qemu: &mut Command, log: &Path) -> Result<i32> {
    exec::echo(qemu);
    let mut file = File::create(log)?;
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run qemu")?;
    let stdout = child.stdout.take().context("the console is not there")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });

    let deadline = Instant::now() + TIMEOUT;
    let (mut running, mut status) = (false, None);
    let outcome = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(file, "{line}")?;
                if let Some(number) = line.strip_prefix(END) {
                    status = number.parse().ok();
                    running = false;
                } else if running {
                    println!("{line}");
                }
                // The firmware's escape sequences may precede the first line.
                running |= line.ends_with(BEGIN);
            }
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            Err(RecvTimeoutError::Timeout) => break Err(anyhow::anyhow!("no end after {TIMEOUT:?}")),
        }
    };
    if outcome.is_err() {
        child.kill()?;
    }
    child.wait()?;
    outcome?;
    status.context("the VM ended before the program did")
}

/// Packs busybox, the program and the libraries that they need.
fn initramfs(directory: &Path, program: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for path in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(path))?;
    }
    let busybox = toolchain::programs("busybox").next().context("there is no busybox")?;
    for (from, to) in [(busybox.as_path(), "bin/busybox"), (program, "toa-vm")] {
        fs::copy(from, root.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        // A static program makes ldd fail.
        let libraries = exec::output(Command::new("ldd").arg(from)).unwrap_or_default();
        for library in libraries.lines().filter_map(library) {
            let to = root.join(library.trim_start_matches('/'));
            fs::create_dir_all(to.parent().context("a library has no directory")?)?;
            fs::copy(library, to).with_context(|| format!("cannot copy {library}"))?;
        }
    }
    let init = root.join("init");
    fs::write(&init, INIT)?;
    exec::output(Command::new("chmod").arg("755").arg(&init))?;

    let archive = directory.join("initramfs.cpio");
    let pack = "find . | cpio --quiet --create --format=newc --owner=0:0";
    let mut shell = Command::new("sh");
    let done = shell.args(["-ec", pack]).current_dir(&root).stdout(File::create(&archive)?).status()?;
    if !done.success() {
        bail!("cpio failed: {done}");
    }
    Ok(archive)
}

/// The file that a line of `ldd` names: after the arrow, or the loader alone; none for the kernel's own object.
fn library(line: &str) -> Option<&str> {
    let file = line.split_once(" => ").map_or(line, |(_, file)| file).trim();
    file.split_whitespace().next().filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_files() {
        let line = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f191b61e000)";
        assert_eq!(library(line), Some("/lib/x86_64-linux-gnu/libc.so.6"));
        let line = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1924c00000)";
        assert_eq!(library(line), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007f1924bfe000)"), None);
        assert_eq!(library("\tlibmissing.so => not found"), None);
        assert_eq!(library("\tstatically linked"), None);
    }

    #[test]
    fn init_prints_what_the_console_waits_for() {
        assert!(INIT.contains(&format!("echo '{BEGIN}'\n")));
        assert!(INIT.contains(&format!("echo \"{END}$?\"\n")));
    }
}
