//! Loads the eBPF object. [`super::attach`] attaches its programs.

use std::{fs, io, path::PathBuf};

use aya::{
    Ebpf, EbpfError, EbpfLoader, VerifierLogLevel, include_bytes_aligned,
    maps::Map,
    programs::{Program, ProgramError, SchedClassifier, UProbe, raw_trace_point::RawTracePointLink},
};
use thiserror::Error;
use toa_common::{
    config::Config,
    flow_changes,
    limits::{
        FLOW_CHANGES, MAX_BYPASSES, MAX_CALLS, MAX_FLOWS, MAX_SESSIONS, PENDING_CALLS, PLAINTEXT_BUFFERS,
    },
    plaintext::TaskLayout,
};

/// The object that the build script compiled.
static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_INGRESS_OBJECT"));

/// Level at which the program logs nothing. The loaded program then contains no logging code.
const LOG_OFF: u8 = 0;

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel refused the object or one of its maps.
    #[error("the kernel refused the maps of the eBPF object")]
    Object(#[source] Box<EbpfError>),
    /// The verifier or another check of the kernel refused a program.
    #[error("kernel {kernel} refused program {program}: {summary}; full verifier log: {log}")]
    Refused {
        /// The program's name.
        program: &'static str,
        /// The kernel's release.
        kernel: String,
        /// The last line of the verifier's log.
        summary: String,
        /// The file that the log was written to, or why there is none.
        log: String,
    },
    /// A program could not be loaded for another reason.
    #[error("cannot load program {program}")]
    Program {
        /// The program's name.
        program: &'static str,
        /// The underlying error.
        #[source]
        source: ProgramError,
    },
    /// The object lacks a program or a map.
    #[error("the eBPF object has no {name}")]
    Missing {
        /// The name of the program or map.
        name: &'static str,
    },
}

/// The eBPF object in the kernel. Dropping it detaches and unloads everything.
#[derive(Debug)]
pub struct Loaded {
    ebpf: Ebpf,
}

/// The settings of a run that must be known before its program is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// TOA options, server ports, and whether sources are restricted.
    pub config: Config,
    /// Maximum number of connections that are followed at a time.
    pub max_flows: u32,
    /// The program's log level, or `None` for no logging.
    pub log_level: Option<aya_log::Level>,
    /// Where the kernel has what the plaintext programs read, if they are to be loaded.
    pub plaintext: Option<TaskLayout>,
}

/// The maps of the plaintext programs, and their sizes if these are loaded.
const PLAINTEXT_MAPS: [(&str, u32); 6] = [
    ("SESSIONS", MAX_SESSIONS),
    (flow_changes::NAME, FLOW_CHANGES + 1),
    ("CALLS", MAX_CALLS),
    ("PENDING", PENDING_CALLS),
    ("PLAINTEXT_BYPASS", MAX_BYPASSES),
    ("BUFFERS", PLAINTEXT_BUFFERS),
];

/// The program at system calls, and what it attaches to.
const SYSTEM_CALLS: (&str, &str) = ("toa_tls_call", "sys_enter");

impl Default for LoadOptions {
    fn default() -> Self {
        Self { config: Config::DEFAULT, max_flows: MAX_FLOWS, log_level: None, plaintext: None }
    }
}

impl Loaded {
    /// Loads the object and those of its programs that are named.
    pub fn new(
        programs: impl IntoIterator<Item = &'static str>,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let level = options.log_level.map_or(LOG_OFF, |level| level as u8);
        let mut loader = EbpfLoader::new();
        loader
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(aya_log::LEVEL, &level, true)
            .override_global("CONFIG", &options.config, true)
            .map_max_entries("FLOWS", options.max_flows);
        if let Some(layout) = &options.plaintext {
            loader.override_global("TASK_LAYOUT", layout, true);
            for (map, entries) in PLAINTEXT_MAPS {
                loader.map_max_entries(map, entries);
            }
        }
        let ebpf = loader.load(OBJECT).map_err(|error| LoadError::Object(Box::new(error)))?;
        let mut this = Self { ebpf };
        for name in programs {
            this.loaded_program(name)?;
        }
        Ok(this)
    }

    /// Returns one of the programs, after loading it if it is not loaded yet.
    pub(crate) fn loaded_program(&mut self, name: &'static str) -> Result<&mut SchedClassifier, LoadError> {
        let program = self.program(name)?;
        loaded(name, program.load())?;
        Ok(program)
    }

    /// Returns one of the plaintext programs, after loading it if it is not loaded yet. The layout must have been among the
    /// options.
    pub(crate) fn uprobe(&mut self, name: &'static str) -> Result<&mut UProbe, LoadError> {
        let Some(Program::UProbe(program)) = self.ebpf.program_mut(name) else {
            return Err(LoadError::Missing { name });
        };
        loaded(name, program.load())?;
        Ok(program)
    }

    /// Loads the program at system calls and attaches it.
    pub(crate) fn system_calls(&mut self) -> Result<RawTracePointLink, LoadError> {
        let (name, place) = SYSTEM_CALLS;
        let Some(Program::RawTracePoint(program)) = self.ebpf.program_mut(name) else {
            return Err(LoadError::Missing { name });
        };
        loaded(name, program.load())?;
        let link = program.attach(place).and_then(|link| program.take_link(link));
        link.map_err(|source| LoadError::Program { program: name, source })
    }

    /// Returns one of the programs.
    pub fn program(&mut self, name: &'static str) -> Result<&mut SchedClassifier, LoadError> {
        match self.ebpf.program_mut(name) {
            Some(Program::SchedClassifier(program)) => Ok(program),
            _ => Err(LoadError::Missing { name }),
        }
    }

    /// Takes a map out of the object.
    pub fn take_map(&mut self, name: &'static str) -> Result<Map, LoadError> {
        self.ebpf.take_map(name).ok_or(LoadError::Missing { name })
    }

    /// Returns a map.
    pub fn map(&self, name: &'static str) -> Result<&Map, LoadError> {
        self.ebpf.map(name).ok_or(LoadError::Missing { name })
    }

    /// Returns the object, for the reader of its log.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// Checks the result of loading a program.
fn loaded(program: &'static str, result: Result<(), ProgramError>) -> Result<(), LoadError> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(ProgramError::LoadError { verifier_log, .. }) => Err(refused(program, &verifier_log.to_string())),
        Err(source) => Err(LoadError::Program { program, source }),
    }
}

/// Returns the error for a program that the verifier refused, and writes its log to a file.
pub(crate) fn refused(program: &'static str, log: &str) -> LoadError {
    let summary = log.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_statistics(line));
    LoadError::Refused {
        program,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        summary: summary.unwrap_or("no reason given").to_owned(),
        log: write_log(program, log)
            .map_or_else(|error| format!("no file: {error}"), |path| path.display().to_string()),
    }
}

/// Returns whether a line of the verifier's log is only statistics.
fn is_statistics(line: &str) -> bool {
    ["verification time", "stack depth", "processed "].iter().any(|start| line.starts_with(start))
}

/// Writes the log to a new file, never to an existing one.
fn write_log(program: &str, log: &str) -> io::Result<PathBuf> {
    let name = format!("toa-tc-{program}-{}.log", rustix::process::getpid().as_raw_nonzero());
    let path = std::env::temp_dir().join(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    io::Write::write_all(&mut file, log.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use toa_common::maps::PINNED;

    use super::*;

    #[test]
    fn the_objects_maps_are_as_their_specs_say() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        for spec in PINNED {
            let map = object.maps.get(spec.name).unwrap();
            let found = (map.map_type(), map.key_size(), map.value_size());
            assert_eq!(found, (spec.kind, spec.key_size, spec.value_size), "{}", spec.name);
            assert!(spec.max_entries.is_none_or(|entries| entries == map.max_entries()), "{}", spec.name);
        }
    }
}
