//! Attaches the program to an interface, with the entry point that fits the link type. [`super::load`] loads it.

use std::{io, mem};

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError},
    },
    util::KernelVersion,
};
use thiserror::Error;

use crate::live::{
    host::{links::Link, unknown_interface::UnknownInterface},
    program::{
        chain::Stage,
        filters::{self, Filter},
        load::{LoadError, Loaded},
        mark::Mark,
        own_filter::OwnFilter,
    },
};

/// The first kernel with TCX (commit e420bed02507).
pub(crate) const TCX: KernelVersion = KernelVersion::new(6, 6, 0);

/// Priority of the netlink filter, at most 65,535; lower ones run first. It precedes those that the kernel assigns
/// (from 49152 downwards), and leaves 1 to others that claim it.
pub(crate) const NETLINK_PRIORITY: u16 = 7;

/// `ARPHRD_IP6GRE` of `linux/if_arp.h`: GRE over IPv6, without Ethernet inside. `libc` does not have it.
const ARPHRD_IP6GRE: u16 = 823;

/// The program for interfaces whose packets begin with an Ethernet header.
pub(crate) const ETHERNET: &str = "toa_ingress_eth";
/// The program for interfaces whose packets begin with an IP header.
pub(crate) const RAW_IP: &str = "toa_ingress_ip";

/// Why the program could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error(transparent)]
    NoInterface(#[from] UnknownInterface),
    /// No entry point fits the interface's link type.
    #[error("unsupported link type {link_type} of {interface}: neither Ethernet nor raw IP")]
    UnknownLinkType {
        /// The interface.
        interface: String,
        /// Its `ARPHRD_` number.
        link_type: u16,
    },
    /// Packets never pass an ingress hook of the interface.
    #[error("{interface} is a VRF, which has no ingress hook: {advice}")]
    NoIngress {
        /// The interface.
        interface: String,
        /// Where to attach instead.
        advice: String,
    },
    /// The interfaces of the network namespace could not be listed.
    #[error("cannot list the interfaces")]
    List(#[source] io::Error),
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
    /// The priority of our netlink filter is taken by a filter beside which the kernel accepts no program.
    #[error(
        "cannot attach to {interface}: priority {NETLINK_PRIORITY} of its ingress filters is taken by one that ours cannot \
         stand beside: {kind}, protocol 0x{protocol:04x} (see tc filter show dev {interface} ingress)"
    )]
    PriorityTaken {
        /// The interface.
        interface: String,
        /// The filter's kind, such as `flower`.
        kind: String,
        /// The `ETH_P_` number of the packets that it sees.
        protocol: u16,
    },
    /// The interface shares its ingress filters with others.
    #[error(
        "cannot attach to {interface}: it shares its ingress filters with other interfaces, as an ingress_block (see tc \
         qdisc show dev {interface}), and a filter there would see the packets of all of them"
    )]
    SharedBlock {
        /// The interface.
        interface: String,
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

impl AttachError {
    /// Returns whether the program can never be attached to such an interface.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::UnknownLinkType { .. } | Self::NoIngress { .. })
    }
}

/// How a program was attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// By a TCX link, before all programs that were attached earlier.
    Tcx,
    /// By a netlink filter, on kernels without TCX or if asked for.
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
pub(crate) struct Attached {
    /// How the program is attached.
    pub(crate) mode: Mode,
    program: u32,
    hold: Hold,
    _mark: Option<Mark>,
}

/// Keeps the program attached.
#[derive(Debug)]
enum Hold {
    Tcx(#[expect(dead_code, reason = "it is held, not used")] SchedClassifierLink),
    Netlink(OwnFilter),
}

impl Attached {
    /// Returns whether this is what runs at `stage`.
    pub(crate) fn is(&self, stage: &Stage) -> bool {
        match (&self.hold, stage) {
            (Hold::Tcx(_), Stage::Program(id)) => *id == self.program,
            (Hold::Netlink(own), Stage::Filter(filter)) => own.is(filter),
            _ => false,
        }
    }
}

/// Attaches to the ingress hook of `link`: by TCX before all other programs, because a program that ends the chain
/// would hide packets from every program after it, or as a netlink filter, if there is no TCX or `by_netlink` asks for it.
///
/// Needs `CAP_NET_ADMIN` and `CAP_BPF`. If the program that fits the interface is not loaded yet, it is loaded, which also
/// needs `CAP_PERFMON`.
pub(crate) fn attach(loaded: &mut Loaded, link: &Link, by_netlink: bool) -> Result<Attached, AttachError> {
    let Link { name, index, .. } = link;
    let interface = name.as_str();
    let program = loaded.loaded_program(entry_point(link)?)?;
    let refused = |source| AttachError::Refused { interface: interface.to_owned(), source };
    let id = program.info().map_err(refused)?.id();
    // Before there is something to mark. If the name is taken, its owner marks the program for us.
    let mark = Mark::new(*index, id).ok();
    if !by_netlink && KernelVersion::current().is_ok_and(|kernel| kernel >= TCX) {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let link = attach_with(program, interface, options).map_err(refused)?;
        return Ok(Attached { mode: Mode::Tcx, program: id, hold: Hold::Tcx(link), _mark: mark });
    }
    // An existing clsact is fine. Never remove it, even if we added it: others may be using it by then.
    if let Err(source) = tc::qdisc_add_clsact(interface)
        && !already_exists(&source)
    {
        return Err(AttachError::Qdisc { interface: interface.to_owned(), source });
    }
    let mut others = filters::ingress(*index).unwrap_or_default().into_iter();
    if let Some(Filter { kind, protocol, .. }) =
        others.find(|it| it.priority == NETLINK_PRIORITY && !it.is_compatible())
    {
        return Err(AttachError::PriorityTaken { interface: interface.to_owned(), kind, protocol });
    }
    let options = TcAttachOptions::Netlink(NlOptions { priority: NETLINK_PRIORITY, ..NlOptions::default() });
    let link = attach_with(program, interface, options).map_err(|source| match source {
        ProgramError::TcError(TcError::NetlinkError(error))
            if error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            AttachError::SharedBlock { interface: interface.to_owned() }
        }
        source => refused(source),
    })?;
    let (priority, handle) = (link.priority().map_err(refused)?, link.handle().map_err(refused)?);
    // Dropped, it would remove whatever filter is in this place by then.
    mem::forget(link);
    let own = OwnFilter { index: *index, priority, handle: handle.into(), program: id };
    Ok(Attached { mode: Mode::Netlink, program: id, hold: Hold::Netlink(own), _mark: mark })
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

/// Returns the name of the program that fits the interface's link type.
pub(crate) fn entry_point(link: &Link) -> Result<&'static str, AttachError> {
    match link.hardware {
        // Loopback frames have an Ethernet header as well.
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(ETHERNET),
        libc::ARPHRD_NONE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE
        | ARPHRD_IP6GRE => Ok(RAW_IP),
        link_type => Err(AttachError::UnknownLinkType { interface: link.name.clone(), link_type }),
    }
}
