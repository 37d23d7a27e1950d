//! What happens to the interfaces of a run.

use std::fmt;

use toa_common::run_info::MAX_INTERFACES;

use crate::{
    error_chain::ErrorChain,
    live::program::attach::{AttachError, Mode},
};

/// Something that has happened to an interface.
#[derive(Debug)]
pub enum Change {
    /// The program was attached.
    Attached {
        /// The interface.
        name: String,
        /// How it was attached.
        mode: Mode,
    },
    /// The program could not be attached.
    Failed {
        /// The reason, which names the interface.
        error: AttachError,
        /// Whether the interface is wanted by its name, not by a pattern.
        is_named: bool,
    },
    /// The program was not attached, because it is on as many interfaces as possible.
    TooMany {
        /// The interface.
        name: String,
    },
    /// An interface got another name.
    Renamed {
        /// The name before.
        from: String,
        /// The name now.
        to: String,
    },
    /// An interface was removed, or has moved to another network namespace.
    Gone {
        /// Its last name.
        name: String,
    },
    /// Somebody has removed our program from an interface.
    Removed {
        /// The interface.
        name: String,
        /// How the program was attached.
        mode: Mode,
    },
    /// Something runs before our program.
    Preceded {
        /// The interface.
        name: String,
        /// What runs before ours.
        by: String,
    },
    /// The program is attached to two interfaces which the same packets pass.
    SeenTwice {
        /// The interface that they pass first.
        lower: String,
        /// The other one.
        upper: String,
    },
    /// The program is attached to a port of another interface, but not to that one.
    IsPort {
        /// The port.
        port: String,
        /// The bridge or bond.
        of: String,
    },
    /// The program is attached to no interface any more, or to none yet.
    Waiting {
        /// What is wanted.
        wanted: String,
    },
}

impl Change {
    /// Returns the interface that it is about, if there is one that was named.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Attached { name, .. }
            | Self::TooMany { name }
            | Self::Renamed { to: name, .. }
            | Self::Gone { name }
            | Self::Removed { name, .. }
            | Self::Preceded { name, .. }
            | Self::SeenTwice { lower: name, .. }
            | Self::IsPort { port: name, .. } => Some(name),
            Self::Failed { .. } | Self::Waiting { .. } => None,
        }
    }

    /// Returns whether packets may be missing because of it.
    pub fn is_problem(&self) -> bool {
        !matches!(self, Self::Attached { .. } | Self::Renamed { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { name, mode } => write!(f, "attached to {name} ({})", mode.describe()),
            Self::Failed { error, .. } if error.is_unsupported() => write!(f, "{error}: not attached there"),
            Self::Failed { error, .. } => write!(f, "{}", ErrorChain(error)),
            Self::TooMany { name } => {
                write!(f, "not attached to {name}: at most {MAX_INTERFACES} interfaces are possible")
            }
            Self::Renamed { from, to } => write!(f, "{from} is called {to} now"),
            Self::Gone { name } => write!(f, "{name} is gone"),
            Self::Removed { name, mode } => {
                let what = match mode {
                    Mode::Tcx => "program",
                    Mode::Netlink => "filter",
                };
                write!(f, "somebody has removed our {what} from {name}: nothing is read there")
            }
            Self::Preceded { name, by } => write!(
                f,
                "on {name}, {by} runs before our program: packets that it does not pass on are not seen"
            ),
            Self::SeenTwice { lower, upper } => write!(
                f,
                "{lower} and {upper} see the same packets: what passes both is printed once, but counts twice"
            ),
            Self::IsPort { port, of } => {
                write!(f, "{port} is a port of {of}: for what arrives on its other ports, attach to {of}")
            }
            Self::Waiting { wanted } => write!(f, "attached to no interface now: waiting for {wanted}"),
        }
    }
}
