//! Attaches the program to an interface, with the entry point that fits the link type. [`super::load`] loads it.

use std::{ffi::CString, io, mem};

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError},
    },
    util::KernelVersion,
};
use rustix::net::{AddressFamily, SocketType, socket};
use std::os::fd::AsRawFd;
use thiserror::Error;

use crate::live::{
    host::interfaces,
    program::load::{LoadError, Loaded},
};

/// The first kernel with TCX (commit e420bed02507).
pub(crate) const TCX: KernelVersion = KernelVersion::new(6, 6, 0);

/// Priority of the netlink filter, at most 65,535; lower ones run first. It precedes those that the kernel assigns
/// (from 49152 downwards), and leaves 1 to others that claim it.
const NETLINK_PRIORITY: u16 = 7;

/// Why the program could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error("no interface {interface} in this network namespace")]
    NoInterface {
        /// The name as it was given.
        interface: String,
    },
    /// The interface's link type could not be read.
    #[error("cannot read the link type of {interface}")]
    LinkType {
        /// The interface.
        interface: String,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// No entry point fits the interface's link type.
    #[error("unsupported link type {link_type} of {interface}: neither Ethernet nor raw IP")]
    UnknownLinkType {
        /// The interface.
        interface: String,
        /// Its `ARPHRD_` number.
        link_type: u16,
    },
    /// The program could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused to attach the program.
    #[error("cannot attach to {interface}")]
    Refused {
        /// The interface.
        interface: String,
        /// The underlying error.
        #[source]
        source: ProgramError,
    },
    /// The clsact qdisc, which holds the filters, could not be added.
    #[error("cannot add a clsact qdisc to {interface}")]
    Qdisc {
        /// The interface.
        interface: String,
        /// The underlying error.
        #[source]
        source: TcError,
    },
}

/// How a program was attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// By a TCX link, before all programs that were attached earlier.
    Tcx,
    /// By a netlink filter, on kernels without TCX.
    Netlink,
}

impl Mode {
    /// Returns the mode as it is shown to people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tcx => "tcx, first",
            Self::Netlink => "netlink",
        }
    }
}

/// An attached program. Dropping it detaches it.
#[derive(Debug)]
pub struct Attached {
    /// How the program is attached.
    pub mode: Mode,
    /// Keeps the program attached.
    _link: SchedClassifierLink,
}

/// An interface, and the program that fits it.
#[derive(Clone, Debug)]
pub struct Target {
    interface: String,
    index: u32,
    program: &'static str,
}

impl Target {
    /// Finds `interface` and the program that fits its link type.
    pub fn find(interface: &str) -> Result<Self, AttachError> {
        let program = entry_point(interface)?;
        let index = interfaces::interface_index(interface)
            .ok_or_else(|| AttachError::NoInterface { interface: interface.to_owned() })?;
        Ok(Self { interface: interface.to_owned(), index, program })
    }

    /// Returns the program's name.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// Returns the interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns the interface's index, which stays the same if the interface is renamed.
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// Attaches to the ingress hook of `target`, before all other programs. A program that ends the chain would hide
/// packets from every program after it.
pub fn attach(loaded: &mut Loaded, target: &Target) -> Result<Attached, AttachError> {
    let interface = target.interface.as_str();
    let program = loaded.program(target.program)?;
    let refused = |source| AttachError::Refused { interface: interface.to_owned(), source };
    if KernelVersion::current().is_ok_and(|kernel| kernel >= TCX) {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let link = attach_with(program, interface, options).map_err(refused)?;
        return Ok(Attached { mode: Mode::Tcx, _link: link });
    }
    // An existing clsact is fine. Never remove it, even if we added it: others may be using it by then.
    if let Err(source) = tc::qdisc_add_clsact(interface)
        && !already_exists(&source)
    {
        return Err(AttachError::Qdisc { interface: interface.to_owned(), source });
    }
    let options = TcAttachOptions::Netlink(NlOptions { priority: NETLINK_PRIORITY, ..NlOptions::default() });
    let link = attach_with(program, interface, options).map_err(refused)?;
    Ok(Attached { mode: Mode::Netlink, _link: link })
}

fn already_exists(error: &TcError) -> bool {
    match error {
        TcError::AlreadyAttached => true,
        other => {
            let mut source: Option<&(dyn std::error::Error + 'static)> = Some(other);
            while let Some(error) = source {
                if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::AlreadyExists)
                {
                    return true;
                }
                source = error.source();
            }
            false
        }
    }
}

fn attach_with(
    program: &mut SchedClassifier,
    interface: &str,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, ProgramError> {
    let id = program.attach_with_options(interface, TcAttachType::Ingress, options)?;
    program.take_link(id)
}

/// Returns the entry point that fits the interface's link type.
fn entry_point(interface: &str) -> Result<&'static str, AttachError> {
    match link_type(interface)? {
        // Loopback frames have an Ethernet header as well.
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok("toa_ingress_eth"),
        libc::ARPHRD_NONE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE => Ok("toa_ingress_ip"),
        link_type => Err(AttachError::UnknownLinkType { interface: interface.to_owned(), link_type }),
    }
}

/// Returns the interface's `ARPHRD_` number. Uses an ioctl, because `/sys` may show another network namespace.
fn link_type(interface: &str) -> Result<u16, AttachError> {
    let no_interface = || AttachError::NoInterface { interface: interface.to_owned() };
    let name = CString::new(interface).map_err(|_| no_interface())?;
    // SAFETY: an `ifreq` of zeros is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let name = name.as_bytes_with_nul();
    if name.len() > request.ifr_name.len() || interface.is_empty() {
        return Err(no_interface());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    let failed = |source| AttachError::LinkType { interface: interface.to_owned(), source };
    let socket =
        socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(|errno| failed(errno.into()))?;
    // SAFETY: `request` is an `ifreq` with a NUL-terminated name. The kernel writes its answer into it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return Err(if error.raw_os_error() == Some(libc::ENODEV) { no_interface() } else { failed(error) });
    }
    // SAFETY: `SIOCGIFHWADDR` succeeded, so this is the field of the union that the kernel wrote.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr }.sa_family)
}
