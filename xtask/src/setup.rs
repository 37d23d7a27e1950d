//! Finds what is missing on this machine, reports it and installs it. It is fast if nothing is missing.
//! `toolchain.rs` has the compiler for BPF.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use toa_embed::toolchain::{self, Compiler, Toolchain};

use crate::{exec, workspace::Workspace};

pub(crate) mod apt;
mod bpf;
pub(crate) mod deny;
pub(crate) mod dist;
pub(crate) mod kernel;
pub(crate) mod oldest;

/// The programs that tests, the VM and benchmarks run, headers of what a test links and a module of Python, each with its
/// Debian package.
const PROGRAMS: [(&str, &str); 32] = [
    ("/usr/include/android/openssl/ssl.h", "android-libboringssl-dev"),
    ("/usr/include/openssl/ssl.h", "libssl-dev"),
    ("/usr/lib/python3/dist-packages/grpc", "python3-grpcio"),
    ("bpftrace", "bpftrace"),
    ("busybox", "busybox-static"),
    ("cc", "gcc"),
    ("cpio", "cpio"),
    ("curl", "curl"),
    ("debootstrap", "debootstrap"),
    ("ethtool", "ethtool"),
    ("git", "git"),
    ("h2load", "nghttp2-client"),
    ("ip", "iproute2"),
    ("lintian", "lintian"),
    ("make", "make"),
    ("nghttpx", "nghttp2-proxy"),
    ("nginx", "nginx-light"),
    ("ngrep", "ngrep"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("ps", "procps"),
    ("python3", "python3"),
    ("qemu-aarch64", "qemu-user"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("systemctl", "systemd"),
    ("tcpdump", "tcpdump"),
    ("tcpflow", "tcpflow"),
    ("tshark", "tshark"),
    ("unshare", "util-linux"),
    ("valgrind", "valgrind"),
    ("wrk", "wrk"),
    ("xz", "xz-utils"),
];

/// Those that neither tests, lints nor the VM run.
const OTHER_PROGRAMS: [&str; 5] = ["bpftrace", "debootstrap", "lintian", "ngrep", "qemu-aarch64"];

/// Those that `cargo xtask dist --verify` runs.
const DIST_PROGRAMS: [&str; 9] =
    ["busybox", "curl", "debootstrap", "git", "ip", "lintian", "nginx", "qemu-aarch64", "unshare"];

/// Those that `cargo xtask bench load` runs.
const LOAD_PROGRAMS: [&str; 9] =
    ["bpftrace", "ip", "nginx", "ngrep", "tcpdump", "tcpflow", "tshark", "unshare", "wrk"];

/// Those that the demo runs.
const DEMO_PROGRAMS: [&str; 3] = ["curl", "ip", "nginx"];

/// What to install for. Everything needs the toolchain for eBPF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// Building.
    Build,
    /// The demo.
    Demo,
    /// The benchmark of nginx at full rate.
    Load,
    /// The files of a release.
    Dist,
    /// Tests, lints and the VM.
    Tests,
}

impl Scope {
    /// Returns the programs that it needs, each with its Debian package.
    fn programs(self) -> Vec<(&'static str, &'static str)> {
        let is_needed = |name: &str| match self {
            Self::Build => false,
            Self::Dist => DIST_PROGRAMS.contains(&name),
            Self::Demo => DEMO_PROGRAMS.contains(&name),
            Self::Load => LOAD_PROGRAMS.contains(&name),
            Self::Tests => !OTHER_PROGRAMS.contains(&name),
        };
        PROGRAMS.into_iter().filter(|(name, _)| is_needed(name)).collect()
    }

    /// Returns the command to run again after manual steps.
    fn command(self) -> &'static str {
        match self {
            Self::Build => "cargo xtask setup",
            Self::Demo => "cargo xtask demo",
            Self::Load => "cargo xtask bench load",
            Self::Dist => "cargo xtask setup --dist",
            Self::Tests => "cargo xtask setup --tests",
        }
    }
}

/// Options of `cargo xtask setup`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Also install what tests, lints and the VM need
    #[arg(long)]
    pub(crate) tests: bool,
    /// Also install what making the files of a release needs
    #[arg(long, conflicts_with = "tests")]
    pub(crate) dist: bool,
    /// Only report what is missing, with exit code 1 if anything is
    #[arg(long)]
    pub(crate) check: bool,
}

/// Reports what is missing and installs it, unless it is only to be checked.
pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<ExitCode> {
    let scope = match options {
        Options { tests: true, .. } => Scope::Tests,
        Options { dist: true, .. } => Scope::Dist,
        Options { .. } => Scope::Build,
    };
    if !options.check {
        return provide(workspace, scope);
    }
    let missing = Missing::look(workspace, scope)?;
    missing.print();
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reports what is missing, installs it and checks the result.
pub(crate) fn provide(workspace: &Workspace, scope: Scope) -> Result<ExitCode> {
    let missing = Missing::look(workspace, scope)?;
    missing.print();
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let by_hand = missing.install(workspace)?;
    if !by_hand.is_empty() {
        eprintln!("setup: the rest needs root, and this user has no sudo. As root, run:");
        for command in &by_hand {
            eprintln!("    {command}");
        }
        eprintln!("and then, as this user, again:\n    {}", scope.command());
        return Ok(ExitCode::FAILURE);
    }
    let missing = Missing::look(workspace, scope)?;
    if !missing.is_empty() {
        missing.print();
    }
    let sufficient = missing.is_sufficient();
    eprintln!("setup: {}", if sufficient { "done" } else { "not everything could be installed" });
    Ok(if sufficient { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is missing.
struct Missing {
    /// What it is needed for.
    scope: Scope,
    /// Why there is no toolchain for BPF.
    toolchain: Option<String>,
    /// The compiler for BPF if its clippy is missing.
    bpf_clippy: Option<Compiler>,
    /// Subcommands of the user's cargo.
    subcommands: Vec<&'static str>,
    /// Programs, with their Debian packages.
    programs: Vec<(&'static str, &'static str)>,
    /// Whether the VM's kernel or its headers are missing.
    kernel: bool,
    /// Whether cargo-deny is missing.
    deny: bool,
    /// Whether the oldest Rust is missing. Lints do without.
    oldest: bool,
    /// What only the files of a release need.
    dist: dist::Missing,
}

impl Missing {
    /// Looks for files and asks programs for their version, without a package manager.
    fn look(workspace: &Workspace, scope: Scope) -> Result<Self> {
        let toolchain = Toolchain::find();
        let mut missing = Self {
            scope,
            toolchain: toolchain.as_ref().err().cloned(),
            bpf_clippy: None,
            subcommands: Vec::new(),
            programs: scope.programs().into_iter().filter(|(name, _)| !is_installed(name)).collect(),
            kernel: false,
            deny: false,
            oldest: false,
            dist: if scope == Scope::Dist { dist::Missing::look()? } else { dist::Missing::default() },
        };
        if scope == Scope::Tests {
            missing.bpf_clippy =
                toolchain.ok().map(|it| it.compiler).filter(|compiler| !bpf::has_clippy(*compiler));
            missing.subcommands = vec!["fmt", "clippy"];
            missing
                .subcommands
                .retain(|name| exec::output(exec::cargo(&[name, "--version"]).current_dir("/")).is_err());
            missing.kernel = kernel::headers(workspace)?.is_none();
            missing.deny = !deny::is_installed(workspace);
            missing.oldest = is_installed("rustup") && !oldest::is_installed();
        }
        Ok(missing)
    }

    /// Returns whether nothing is missing.
    fn is_empty(&self) -> bool {
        self.is_sufficient() && !self.oldest
    }

    /// Returns whether nothing is missing that cannot be done without.
    fn is_sufficient(&self) -> bool {
        let Self { scope: _, toolchain, bpf_clippy, subcommands, programs, kernel, deny, oldest: _, dist } =
            self;
        toolchain.is_none()
            && bpf_clippy.is_none()
            && subcommands.is_empty()
            && programs.is_empty()
            && !kernel
            && !deny
            && dist.is_empty()
    }

    /// Prints one line for each missing item.
    fn print(&self) {
        if self.is_empty() {
            eprintln!("setup: nothing is missing");
        }
        let line = |what: &str| eprintln!("setup: missing: {what}");
        if let Some(why) = &self.toolchain {
            line(&format!("a toolchain for eBPF: {why}"));
        }
        if self.bpf_clippy.is_some() {
            line("clippy of the compiler for eBPF");
        }
        self.subcommands.iter().for_each(|name| line(&format!("cargo {name}")));
        self.programs.iter().for_each(|(name, package)| line(&format!("{name} (Debian package {package})")));
        if self.kernel {
            line("the kernel of the VM (unpacked into the target directory, not installed) and its headers");
        }
        if self.deny {
            line("cargo deny");
        }
        if self.oldest {
            line(&format!("Rust {}, the oldest that the tool supports", oldest::VERSION));
        }
        self.dist.lines().iter().for_each(|it| line(it));
    }

    /// Installs what is missing. Returns the commands that root must run first, if this process cannot become
    /// root.
    fn install(&self, workspace: &Workspace) -> Result<Vec<String>> {
        let mut apt = apt::Apt::new()?;
        let mut linker = None;
        let mut packages = Vec::new();
        if self.toolchain.is_some() {
            bpf::add_rust_src();
            let plan = bpf::plan(&mut apt)?;
            packages = plan.packages;
            linker = Some(plan.llvm);
        }
        packages.extend(self.programs.iter().map(|(_, package)| (*package).to_owned()));
        if self.wants_debian_clippy() {
            packages.push("rust-web-clippy".to_owned());
        }
        if self.subcommands.contains(&"fmt") && !is_installed("rustup") {
            packages.push("rustfmt-web".to_owned());
        }
        apt.install(packages)?;
        if apt.by_hand.is_empty() {
            if let Some(llvm) = linker {
                bpf::install_linker(llvm)?;
            }
            self.add_components()?;
            self.dist.install()?;
            if self.deny {
                deny::install(workspace)?;
            }
            if self.oldest
                && let Err(error) = oldest::install()
            {
                eprintln!("setup: {error:#}; `cargo xtask lint` will not check with it");
            }
            if self.kernel {
                kernel::fetch(workspace, &mut apt)?;
            }
        }
        Ok(apt.by_hand)
    }

    /// Returns whether to install Debian's clippy: for BPF, or because there is no rustup to add one. If the
    /// whole toolchain is missing, it may turn out to be Debian's.
    fn wants_debian_clippy(&self) -> bool {
        let host = self.subcommands.contains(&"clippy") && !is_installed("rustup");
        let tests = self.scope == Scope::Tests;
        host || self.bpf_clippy == Some(Compiler::Debian)
            || (self.toolchain.is_some() && tests && Compiler::Nightly.llvm().is_err())
    }

    /// Adds components to rustup's toolchains.
    fn add_components(&self) -> Result<()> {
        let add = |toolchain: Option<&str>, name: &str| {
            let mut command = Command::new("rustup");
            command.args(["component", "add", name]);
            command.args(toolchain.map(|it| ["--toolchain", it]).into_iter().flatten());
            exec::run(&mut command)
        };
        if is_installed("rustup") {
            for name in &self.subcommands {
                add(None, if *name == "fmt" { "rustfmt" } else { name })
                    .with_context(|| format!("cargo {name} cannot be added"))?;
            }
        }
        if self.bpf_clippy == Some(Compiler::Nightly) {
            add(Some("nightly"), "clippy")?;
        }
        Ok(())
    }
}

/// Returns whether there is a program of this name.
fn is_installed(name: &str) -> bool {
    Path::new(name).exists() || toolchain::programs(name).next().is_some()
}
