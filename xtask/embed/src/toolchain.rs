//! Finds a toolchain for the BPF target and compiles packages with it. `cargo xtask setup` installs it, and
//! `embed.rs` embeds the objects.
//!
//! There are two compilers. A rustup nightly with `rust-src` builds `core` itself; Debian's `rustc-web` has a
//! precompiled `core` for BPF in `libstd-rust-web-dev-bpf`. Both use `bpf-linker`, whose LLVM must be at
//! least as new as that of the compiler that wrote the bitcode.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The target of every eBPF object: little endian, like every host that this project supports.
pub const TARGET: &str = "bpfel-unknown-none";

/// The only place for the compiler's flags. From the full debug information, the linker makes BTF. The third
/// instruction set (Linux 5.1) has 32-bit operations, which save two shifts wherever a word is used.
const RUSTFLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3"];

/// Where Debian's packages install `cargo`, `rustc` and `cargo-clippy`, whatever PATH prefers.
const DEBIAN_BIN: &str = "/usr/bin";

/// Prefixes of variables that an outer cargo or rustup sets for its own build and that would affect ours.
const OUTER: [&str; 10] =
    ["RUST", "CARGO", "DEP_", "TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS"];

/// Exceptions, which belong to the user: homes, network, registries, terminal. The outer cargo's job tokens
/// are not among them: build scripts that wait for each other's inner cargo hold one each, which would leave
/// the working one with a single job.
const KEPT: [&str; 9] = [
    "RUSTUP_HOME",
    "RUSTUP_DIST",
    "RUST_BACKTRACE",
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_TERM_",
];

/// A compiler that can target BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// rustup's nightly, which compiles `core` from `rust-src`.
    Nightly,
    /// Debian's `rustc-web`, with a precompiled `core`.
    Debian,
}

impl Compiler {
    /// Returns the LLVM major version of this compiler, or why it cannot compile for BPF.
    pub fn llvm(self) -> Result<u32, String> {
        let (version, core) = match self {
            Self::Nightly => {
                let rustup = programs("rustup").next().ok_or("not installed")?;
                let rustc = |argument: &str| {
                    stdout(Command::new(&rustup).args(["run", "nightly", "rustc", argument]))
                        .ok_or("no nightly")
                };
                let sysroot = rustc("--print=sysroot")?;
                (rustc("-vV")?, Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core"))
            }
            Self::Debian => {
                let rustc = Path::new(DEBIAN_BIN).join("rustc");
                if !rustc.exists() || !Path::new(DEBIAN_BIN).join("cargo").exists() {
                    return Err(format!("no cargo and rustc in {DEBIAN_BIN}"));
                }
                let core = Path::new("/usr/lib/rustlib").join(TARGET);
                (stdout(Command::new(rustc).arg("-vV")).ok_or("rustc does not run")?, core)
            }
        };
        if !core.exists() {
            return Err(match self {
                Self::Nightly => "the nightly has no rust-src".to_owned(),
                Self::Debian => format!("{DEBIAN_BIN}/rustc has no core for {TARGET}"),
            });
        }
        llvm_of_rustc(&version).ok_or_else(|| "rustc names no LLVM version".to_owned())
    }
}

/// A compiler for BPF and a linker for it.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// The path of `bpf-linker`.
    pub linker: PathBuf,
}

impl Toolchain {
    /// Finds the first complete toolchain. The error is one line that says why there is none.
    pub fn find() -> Result<Self, String> {
        let complete =
            |compiler: Compiler| Ok::<_, String>(Self { compiler, linker: linker(compiler.llvm()?)? });
        complete(Compiler::Nightly).or_else(|nightly| {
            complete(Compiler::Debian).map_err(|debian| {
                format!("nothing compiles for {TARGET} (rustup: {nightly}; Debian: {debian})")
            })
        })
    }

    /// Returns a cargo command (`build`, `clippy` or `doc`) for the BPF target, without the environment of an
    /// outer cargo.
    ///
    /// `target_dir` must not be the outer cargo's own, which is locked while a build script runs.
    pub fn cargo(&self, subcommand: &str, target_dir: &Path) -> Command {
        let mut command = match self.compiler {
            Compiler::Nightly => {
                let mut command =
                    Command::new(programs("rustup").next().unwrap_or_else(|| PathBuf::from("rustup")));
                scrub(&mut command);
                command.args(["run", "nightly", "cargo", subcommand, "-Zbuild-std=core"]);
                command
            }
            Compiler::Debian => {
                let bin = Path::new(DEBIAN_BIN);
                // Called by its path: `cargo clippy` would look in CARGO_HOME first and find rustup's.
                let program = if subcommand == "clippy" { "cargo-clippy" } else { "cargo" };
                let mut command = Command::new(bin.join(program));
                scrub(&mut command);
                command.arg(subcommand).env_remove("LD_LIBRARY_PATH");
                // aya-ebpf needs `asm_experimental_arch`, which a stable compiler allows only this way.
                command.env("RUSTC_BOOTSTRAP", "1").env("CARGO", bin.join("cargo"));
                command.env("RUSTC", bin.join("rustc")).env("RUSTDOC", bin.join("rustdoc"));
                command
            }
        };
        // Empty, which also disables the wrappers of a user's cargo configuration.
        command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
        command.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
        command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker);
        command.args(["--locked", "--release", "--target", TARGET, "--target-dir"]).arg(target_dir);
        command
    }

    /// Returns where the compiler is installed, or why that is not known.
    pub fn sysroot(&self) -> Result<PathBuf, String> {
        let mut command = match self.compiler {
            Compiler::Nightly => {
                let rustup = programs("rustup").next().ok_or("rustup is not installed")?;
                let mut command = Command::new(rustup);
                command.args(["run", "nightly", "rustc"]);
                command
            }
            Compiler::Debian => Command::new(Path::new(DEBIAN_BIN).join("rustc")),
        };
        let sysroot = stdout(command.arg("--print=sysroot")).ok_or("rustc names no sysroot")?;
        Ok(PathBuf::from(sysroot.trim()))
    }

    /// Compiles one package and returns the paths of these binaries, in the same order. The error is cargo's
    /// output.
    pub fn compile(
        &self,
        workspace: &Path,
        package: &str,
        bins: &[&str],
        target_dir: &Path,
    ) -> Result<Vec<PathBuf>, String> {
        self.compile_with(workspace, package, bins, target_dir, &[])
    }

    /// Does the same with more flags of the compiler.
    pub fn compile_with(
        &self,
        workspace: &Path,
        package: &str,
        bins: &[&str],
        target_dir: &Path,
        flags: &[String],
    ) -> Result<Vec<PathBuf>, String> {
        let mut command = self.cargo("build", target_dir);
        // Builds all binaries, whichever are wanted: linking takes seconds, and this way they are linked in
        // parallel.
        command.current_dir(workspace).args(["--quiet", "--bins", "--package", package]);
        // One of the flags is unstable, and the warning about it would precede every error. `cargo xtask
        // lint` denies warnings.
        command.env("CARGO_ENCODED_RUSTFLAGS", flags_with(flags).join("\x1f"));
        let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(bins.iter().map(|bin| target_dir.join(TARGET).join("release").join(bin)).collect())
    }
}

/// Returns the `bpf-linker` for a compiler of this LLVM major version, or why there is none.
pub fn linker(llvm: u32) -> Result<PathBuf, String> {
    let mut reason = "bpf-linker is not installed".to_owned();
    for candidate in programs("bpf-linker") {
        // A statically linked one does not reveal its LLVM version. If it is too old, linking fails and says
        // so.
        let own = stdout(Command::new("ldd").arg(&candidate)).and_then(|libraries| llvm_of_ldd(&libraries));
        match own {
            Some(own) if own < llvm => reason = format!("bpf-linker has LLVM {own}, rustc has {llvm}"),
            _ => return Ok(candidate),
        }
    }
    Err(reason)
}

/// Returns every executable of this name on PATH, in cargo's own directory and in the system administrator's.
pub fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    let home = |variable: &str| env::var_os(variable).map(PathBuf::from);
    directories
        .extend(home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo"))).map(|it| it.join("bin")));
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.into_iter().map(move |directory| directory.join(name)).filter(|path| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Returns the compiler's flags, and more.
fn flags_with(more: &[String]) -> Vec<&str> {
    RUSTFLAGS.into_iter().chain(["-Awarnings"]).chain(more.iter().map(String::as_str)).collect()
}

/// Removes what an outer cargo or rustup has set.
fn scrub(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if is_outer(&name) {
            command.env_remove(name);
        }
    }
}

/// Returns whether an environment variable is an outer build's and not the user's.
fn is_outer(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    OUTER.iter().any(|it| name.starts_with(it)) && !KEPT.iter().any(|it| name.starts_with(it))
}

/// Returns the output of a command if it succeeded.
fn stdout(command: &mut Command) -> Option<String> {
    let output = command.env_remove("RUSTUP_TOOLCHAIN").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Parses the LLVM major version in the output of `rustc -vV`.
fn llvm_of_rustc(version: &str) -> Option<u32> {
    let version = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.trim().parse().ok()
}

/// Parses the LLVM major version in the output of `ldd`: `libLLVM.so.22.1` and `libLLVM-19.so` are both in
/// use.
fn llvm_of_ldd(libraries: &str) -> Option<u32> {
    let name = libraries.split_whitespace().find_map(|word| word.strip_prefix("libLLVM"))?;
    name.split(|it: char| !it.is_ascii_digit()).find(|it| !it.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_names_its_llvm() {
        let version =
            "rustc 1.96.0 (ac68faa20 2026-05-25)\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_of_rustc(version), Some(22));
        assert_eq!(llvm_of_rustc("rustc 1.96.0\n"), None);
        assert_eq!(llvm_of_rustc("LLVM version: unknown\n"), None);
    }

    #[test]
    fn ldd_names_the_linkers_llvm() {
        let library =
            |name: &str| format!("\tlibz.so.1 => /lib/libz.so.1 (0x1)\n\t{name} => /usr/lib/{name} (0x2)\n");
        assert_eq!(llvm_of_ldd(&library("libLLVM.so.22.1")), Some(22));
        assert_eq!(llvm_of_ldd(&library("libLLVM-19.so.1")), Some(19));
        assert_eq!(llvm_of_ldd(&library("libm.so.6")), None);
        assert_eq!(llvm_of_ldd("\tstatically linked\n"), None);
    }

    #[test]
    fn only_an_outer_builds_variables_are_scrubbed() {
        let outer = |name: &str| is_outer(OsStr::new(name));
        for name in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "RUSTDOCFLAGS"] {
            assert!(outer(name), "{name}");
        }
        for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_CFG_UNIX", "CARGO_MAKEFLAGS"] {
            assert!(outer(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "PATH", "HOME", "HTTPS_PROXY"] {
            assert!(!outer(name), "{name}");
        }
    }
}
