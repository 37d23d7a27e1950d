//! Attaches the probes.

use std::collections::BTreeSet;

use aya::programs::{
    ProgramError,
    uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope},
};
use thiserror::Error;

use super::{
    library::{Function, Role},
    servers::Library,
};
use crate::live::program::load::{LoadError, Loaded};

/// The program at the return of reading functions.
const RETURNED: &str = "toa_tls_returned";

/// Returns the program at the entry of a function.
fn entry(role: Role) -> &'static str {
    match role {
        Role::Binds => "toa_tls_bound",
        Role::Frees => "toa_tls_freed",
        Role::Reads => "toa_tls_read",
        Role::ReadsEx => "toa_tls_read_ex",
    }
}

/// Why probes could not be attached.
#[derive(Debug, Error)]
pub enum ProbesError {
    /// A program could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused a probe.
    #[error("cannot attach to {function} of {library}")]
    Refused {
        /// The function.
        function: &'static str,
        /// The library.
        library: String,
        /// The underlying error.
        #[source]
        source: Box<ProgramError>,
    },
}

/// Attached probes. Dropping it detaches them.
#[derive(Debug, Default)]
pub struct Probes {
    links: Vec<UProbeLink>,
    libraries: BTreeSet<(u64, u64)>,
}

impl Probes {
    /// Loads the programs, to see whether the kernel accepts them.
    pub fn load(loaded: &mut Loaded) -> Result<(), LoadError> {
        let entries = [Role::Binds, Role::Frees, Role::Reads, Role::ReadsEx].map(entry);
        entries.into_iter().chain([RETURNED]).try_for_each(|program| loaded.uprobe(program).map(drop))
    }

    /// Attaches to the functions of a library, unless that was done before. Returns whether it was not.
    ///
    /// Needs `CAP_SYS_ADMIN`.
    pub fn attach(&mut self, loaded: &mut Loaded, library: &Library) -> Result<bool, ProbesError> {
        if !self.libraries.insert(library.id) {
            return Ok(false);
        }
        for function in &library.functions {
            // First the return: a call whose entry is seen must not return unseen.
            if let Role::Reads | Role::ReadsEx = function.role {
                self.add(loaded, RETURNED, function, library)?;
            }
            self.add(loaded, entry(function.role), function, library)?;
        }
        Ok(true)
    }

    fn add(
        &mut self,
        loaded: &mut Loaded,
        program: &'static str,
        function: &Function,
        library: &Library,
    ) -> Result<(), ProbesError> {
        let program = loaded.uprobe(program)?;
        let place = UProbeAttachLocation::AbsoluteOffset(function.offset);
        let link = program
            .attach(place, &library.path, UProbeScope::AllProcesses)
            .and_then(|link| program.take_link(link))
            .map_err(|source| ProbesError::Refused {
                function: function.name,
                library: library.name.clone(),
                source: Box::new(source),
            })?;
        self.links.push(link);
        Ok(())
    }
}
