//! Runs the check of a kernel (`tests/src/bin/toa-vm`) on this kernel and, in virtual machines, on Debian's
//! 6.1 and, if asked, its other kernels. `setup` fetches them.

mod initramfs;
mod module;
mod row;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{build, exec, setup, tally::Tally, workspace::Workspace};

use row::Row;

/// Time from power-on to power-off. The emulated CPU takes seconds for what takes the host's milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Printed by init before the program starts.
const BEGIN: &str = "xtask-vm: begin";

/// Printed by init before the program's exit status.
const END: &str = "xtask-vm: exit status ";

/// The VM's init script. devtmpfs provides device files for the program; the rest is mounted on every real
/// host.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t bpf bpf /sys/fs/bpf
/bin/busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
/bin/busybox mount -t tmpfs tmp /tmp
for module in /modules/*; do /bin/busybox insmod $module; done
export PATH=/bin TOA_TC=/bin/toa-tc
/bin/ip link set lo up
ulimit -n 65536
echo 'xtask-vm: begin'
/bin/toa-vm $(/bin/busybox cat /arguments)
echo \"xtask-vm: exit status $?\"
/bin/busybox poweroff -f
";

/// Options of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keep the VM's console log even on success
    #[arg(long)]
    keep_log: bool,
    /// Also run it on other kernels of Debian, which are downloaded, and print a table
    #[arg(long)]
    kernels: bool,
}

/// Runs the check on both kernels.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let installed = setup::provide(workspace, setup::Scope::Tests)?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }
    let mut rows = Vec::new();
    let mut tally = both(workspace, options.keep_log, &mut rows)?;
    if options.kernels {
        tally += others(workspace, options.keep_log, &mut rows)?;
        println!("{}", row::HEAD);
        for row in &rows {
            println!("{row}");
        }
    }
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the check on both kernels; each counts as one test.
pub(crate) fn tally(workspace: &Workspace, keep_log: bool) -> Result<Tally> {
    both(workspace, keep_log, &mut Vec::new())
}

/// Does the same and adds the row of the VM's kernel.
fn both(workspace: &Workspace, keep_log: bool, rows: &mut Vec<Row>) -> Result<Tally> {
    let [program, tool] = build::tested(workspace, ["toa-vm", build::TOOL])?;
    let mut tally = Tally::default();
    if exec::is_root()? {
        let result = exec::run(Command::new(&program).env("TOA_TC", &tool));
        count(&mut tally, "this kernel", result);
    } else {
        println!("xtask: vm: not run on this kernel, which needs root");
    }
    let mut row = Row::default();
    count(&mut tally, "VM", everything(workspace, [&program, &tool], keep_log, &mut row));
    rows.push(row);
    Ok(tally)
}

/// Runs the check on the other kernels; each counts as one test. It needs no headers of theirs, and so has no TOA module.
fn others(workspace: &Workspace, keep_log: bool, rows: &mut Vec<Row>) -> Result<Tally> {
    let [program, tool] = build::tested(workspace, ["toa-vm", build::TOOL])?;
    let mut tally = Tally::default();
    for kernel in setup::kernel::others::KERNELS {
        let mut row = Row::default();
        let booted = kernel
            .provide(workspace)
            .and_then(|directory| boot(&directory, [&program, &tool], "", &[], keep_log, &mut row));
        count(&mut tally, kernel.series, booted);
        rows.push(row);
    }
    Ok(tally)
}

/// Counts the result of one kernel's check, and reports its error.
fn count(tally: &mut Tally, kernel: &str, result: Result<()>) {
    match result {
        Ok(()) => tally.passed += 1,
        Err(error) => {
            eprintln!("error: vm: {kernel}: {error:#}");
            tally.failed += 1;
        }
    }
}

/// Runs all of the check on Debian's 6.1.
fn everything(workspace: &Workspace, programs: [&Path; 2], keep_log: bool, row: &mut Row) -> Result<()> {
    let directory = workspace.target.join("vm");
    let headers =
        setup::kernel::headers(workspace)?.context("no kernel headers: run `cargo xtask setup --tests`")?;
    // The check loads the module when it wants to.
    let module = module::build(&directory, &headers)?;
    boot(&directory, programs, "--all", &[module], keep_log, row)
}

/// Boots the kernel that was unpacked into `directory` with the check and the tool, and returns the check's result. `row`
/// becomes what the check has shown.
fn boot(
    directory: &Path,
    programs: [&Path; 2],
    arguments: &str,
    modules: &[PathBuf],
    keep_log: bool,
    row: &mut Row,
) -> Result<()> {
    let kernel =
        setup::kernel::find(directory)?.context("no kernel for the VM: run `cargo xtask setup --tests`")?;
    let list = directory.join("arguments");
    fs::write(&list, arguments)?;
    let files = initramfs::Files {
        programs,
        modules: &setup::kernel::modules(directory)?,
        others: &[modules, &[list]].concat(),
    };
    let initramfs = initramfs::pack(directory, &files, INIT)?;
    let log = directory.join("console.log");

    let mut qemu = Command::new("qemu-system-x86_64");
    // Emulation works even if this host is a virtual machine itself.
    qemu.args(["-accel", "tcg", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot", "-nodefaults"]);
    qemu.args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    let status =
        console(&mut qemu, &log, row).with_context(|| format!("the console's log is {}", log.display()))?;
    ensure!(status == 0, "exit status {status}; the console's log is {}", log.display());
    row.passed = true;
    if keep_log {
        println!("xtask: vm: the console's log is {}", log.display());
    } else {
        fs::remove_file(log)?;
    }
    Ok(())
}

/// Runs the VM, forwards the program's output as it comes, and returns the program's exit status.
fn console(qemu: &mut Command, log: &Path, row: &mut Row) -> Result<i32> {
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
                    row.read(&line);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_prints_what_the_console_waits_for() {
        assert!(INIT.contains(&format!("echo '{BEGIN}'\n")));
        assert!(INIT.contains(&format!("echo \"{END}$?\"\n")));
    }
}
