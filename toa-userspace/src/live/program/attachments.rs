//! The interfaces of a run: those that are wanted, those that the program is attached to, and what happens to them.
//!
//! Everything is found by listing the interfaces and what runs at their hooks, so it does not matter whether a notification
//! was lost.

mod change;
mod names;
mod slot;
mod wanted;

use std::collections::HashSet;

use toa_common::run_info::MAX_INTERFACES;

use crate::live::{
    host::{
        links::{self, Link},
        unknown_interface::UnknownInterface,
    },
    program::{
        attach::{self, AttachError, Attached, ETHERNET, Mode, RAW_IP, attach},
        chain::{self, Stage},
        load::Loaded,
        mark::is_marked,
    },
};

pub use change::Change;
pub use names::InterfaceNames;
use slot::Slot;
pub use wanted::Wanted;

/// The interfaces that the program is attached to. Dropping them detaches it.
#[derive(Debug)]
pub struct Attachments {
    wanted: Vec<Wanted>,
    /// Those that are wanted by their names.
    slots: Vec<Slot>,
    by_netlink: bool,
    attached: Vec<Attachment>,
    /// Interfaces that are wanted and not attached to, for a reason that was reported.
    passed_over: HashSet<u32>,
    /// Pairs of interfaces whose relation was reported.
    related: HashSet<(u32, u32)>,
    names: InterfaceNames,
    /// Whether the last look found nothing to attach to.
    was_waiting: bool,
}

/// An interface that the program is attached to.
#[derive(Debug)]
pub struct Attachment {
    /// Its index.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    attached: Attached,
    /// What runs before our program, as far as it was reported.
    before: HashSet<Stage>,
}

impl Attachment {
    /// Returns how the program is attached.
    pub fn mode(&self) -> Mode {
        self.attached.mode
    }
}

impl Attachments {
    /// Finds the interfaces that are wanted in our network namespace, without attaching to them. Fails if one that is
    /// wanted by its name does not exist.
    pub fn find(wanted: &[Wanted], by_netlink: bool) -> Result<Self, AttachError> {
        let links = links::list().map_err(AttachError::List)?;
        let mut slots = Vec::<Slot>::new();
        for name in wanted.iter().filter_map(Wanted::name) {
            let mut slot = Slot::new(name);
            slot.fill(&links);
            // An interface that is wanted twice, or by two of its names, counts once.
            if slot.index.is_none() {
                return Err(UnknownInterface::new(name).into());
            }
            if slots.iter().all(|known| known.index != slot.index) {
                slots.push(slot);
            }
        }
        Ok(Self {
            wanted: wanted.to_vec(),
            slots,
            by_netlink,
            attached: Vec::new(),
            passed_over: HashSet::new(),
            related: HashSet::new(),
            names: InterfaceNames::default(),
            was_waiting: false,
        })
    }

    /// Returns the names of the programs that fit the interfaces: both if any may appear later. An interface whose link
    /// type is not supported needs none, unless there is no other.
    pub fn programs(&self) -> Result<Vec<&'static str>, AttachError> {
        if self.wanted.iter().any(|wanted| wanted.name().is_none()) {
            return Ok(vec![ETHERNET, RAW_IP]);
        }
        let links = links::list().map_err(AttachError::List)?;
        let named = links.iter().filter(|link| self.has_slot(link.index));
        let (mut programs, mut unsupported) = (Vec::new(), None);
        for link in named {
            match entry_point(link, &links) {
                Ok(program) => programs.push(program),
                Err(error) => unsupported = unsupported.or(Some(error)),
            }
        }
        match unsupported {
            Some(error) if programs.is_empty() => Err(error),
            _ => Ok(programs),
        }
    }

    /// Attaches to the interfaces for the first time. Fails if that fails for one that is wanted by its name, except that
    /// of several, those whose link type is not supported are left out.
    ///
    /// Needs the same capabilities as [`Self::adjust`].
    pub fn start(&mut self, loaded: &mut Loaded) -> Result<Vec<Change>, AttachError> {
        let mut changes = self.adjust(loaded)?;
        let is_fatal = |change: &Change| match change {
            Change::Failed { error, is_named } => {
                self.attached.is_empty() || (*is_named && !error.is_unsupported())
            }
            _ => false,
        };
        if let Some(at) = changes.iter().position(is_fatal)
            && let Change::Failed { error, .. } = changes.swap_remove(at)
        {
            return Err(error);
        }
        Ok(changes)
    }

    /// Looks at the interfaces: detaches from those that are gone, attaches to those that have appeared, and looks whether
    /// our program still runs on the others, and what runs before it. Returns what has changed since the last time.
    ///
    /// Without `CAP_NET_ADMIN`, nothing is known of what runs before our program, and without `CAP_SYS_ADMIN` the names of
    /// programs are not. To attach, `CAP_BPF` is needed as well, and `CAP_PERFMON` if the interface is the first of its link
    /// type and is not wanted by a pattern.
    pub fn adjust(&mut self, loaded: &mut Loaded) -> Result<Vec<Change>, AttachError> {
        let links = links::list().map_err(AttachError::List)?;
        let mut changes = Vec::new();
        self.follow(&links, &mut changes);
        self.attach(loaded, &links, &mut changes);
        self.look(&links, &mut changes);
        self.relate(&links, &mut changes);
        self.names.set(self.attached.iter().map(|it| (it.index, it.name.as_str())));
        let is_waiting = self.attached.is_empty() && !self.is_over();
        if is_waiting && !self.was_waiting {
            let wanted: Vec<_> = self.wanted.iter().map(ToString::to_string).collect();
            changes.push(Change::Waiting { wanted: wanted.join(", ") });
        }
        self.was_waiting = is_waiting;
        Ok(changes)
    }

    /// Looks at the interfaces for the last time, without attaching to any. Returns what has changed since the last time.
    pub fn finish(&mut self) -> Result<Vec<Change>, AttachError> {
        let links = links::list().map_err(AttachError::List)?;
        let mut changes = Vec::new();
        self.follow(&links, &mut changes);
        self.look(&links, &mut changes);
        Ok(changes)
    }

    /// Returns the names of the interfaces, which change with them.
    pub fn names(&self) -> InterfaceNames {
        self.names.clone()
    }

    /// Returns whether there are several interfaces to attach to, or may be.
    pub fn may_be_several(&self) -> bool {
        self.slots.len() > 1 || self.slots.len() < self.wanted.len()
    }

    /// Returns the interfaces that the program is attached to.
    pub fn attached(&self) -> &[Attachment] {
        &self.attached
    }

    /// Returns whether the program is attached nowhere, and none of the wanted interfaces can appear.
    pub fn is_over(&self) -> bool {
        let has_pattern = self.wanted.iter().any(|wanted| wanted.name().is_none());
        self.attached.is_empty() && !has_pattern && self.slots.iter().all(|slot| slot.index.is_some())
    }

    fn has_slot(&self, index: u32) -> bool {
        self.slots.iter().any(|slot| slot.index == Some(index))
    }

    /// Detaches from interfaces that are gone, and notes new names. An interface that has moved to another network
    /// namespace is gone: it would take our program with it.
    fn follow(&mut self, links: &[Link], changes: &mut Vec<Change>) {
        let find = |index| links.iter().find(|link| link.index == index);
        let Self { slots, attached, passed_over, related, .. } = self;
        attached.retain_mut(|attachment| {
            let Some(link) = find(attachment.index) else {
                changes.push(Change::Gone { name: attachment.name.clone() });
                return false;
            };
            if link.name != attachment.name {
                let from = std::mem::replace(&mut attachment.name, link.name.clone());
                changes.push(Change::Renamed { from, to: link.name.clone() });
            }
            true
        });
        for slot in slots {
            slot.fill(links);
        }
        passed_over.retain(|index| find(*index).is_some());
        related.retain(|(one, other)| find(*one).is_some() && find(*other).is_some());
    }

    /// Attaches to wanted interfaces.
    fn attach(&mut self, loaded: &mut Loaded, links: &[Link], changes: &mut Vec<Change>) {
        for link in links {
            let is_named = self.has_slot(link.index);
            let is_known = self.attached.iter().any(|attachment| attachment.index == link.index)
                || self.passed_over.contains(&link.index);
            if is_known || !(is_named || self.wanted.iter().any(|wanted| wanted.matches(&link.name))) {
                continue;
            }
            if self.attached.len() >= MAX_INTERFACES {
                self.passed_over.insert(link.index);
                changes.push(Change::TooMany { name: link.name.clone() });
                continue;
            }
            let attached = entry_point(link, links).and_then(|_| attach(loaded, link, self.by_netlink));
            match attached {
                Ok(attached) => {
                    let (index, name, mode) = (link.index, link.name.clone(), attached.mode);
                    changes.push(Change::Attached { name: name.clone(), mode });
                    self.attached.push(Attachment { index, name, attached, before: HashSet::new() });
                }
                // It went in the meantime, or got another name: the next look finds it if it is still there.
                Err(_) if !links::is_there(link) => {}
                Err(error) => {
                    self.passed_over.insert(link.index);
                    changes.push(Change::Failed { error, is_named });
                }
            }
        }
    }

    /// Looks at what runs at the hooks. Detaches from those where somebody has removed our program.
    fn look(&mut self, links: &[Link], changes: &mut Vec<Change>) {
        let Self { attached, passed_over, .. } = self;
        attached.retain_mut(|attachment| {
            let Attachment { index, name, attached, before } = attachment;
            // Without permission, there is nothing to report.
            let Ok(stages) = chain::stages(*index) else {
                return true;
            };
            let Some(position) = stages.iter().position(|stage| attached.is(stage)) else {
                // Checked last: what runs at a hook goes with its interface.
                let is_there = links.iter().any(|link| link.index == *index && links::is_there(link));
                if is_there {
                    passed_over.insert(*index);
                    changes.push(Change::Removed { name: name.clone(), mode: attached.mode });
                }
                return !is_there;
            };
            let earlier: HashSet<_> = stages.into_iter().take(position).collect();
            // Another run passes every packet on.
            let is_a_runs = |stage: &Stage| stage.program().is_some_and(|id| is_marked(*index, id));
            for stage in earlier.difference(before).filter(|stage| !is_a_runs(stage)) {
                changes.push(Change::Preceded { name: name.clone(), by: stage.describe() });
            }
            *before = earlier;
            true
        });
    }

    /// Reports which interfaces see the same packets, and which see only a part.
    fn relate(&mut self, links: &[Link], changes: &mut Vec<Change>) {
        let Self { attached, related, .. } = self;
        let is_attached = |index| attached.iter().any(|attachment: &Attachment| attachment.index == index);
        for lower in links.iter().filter(|link| is_attached(link.index)) {
            for upper in links.iter().filter(|link| link.is_above(lower)) {
                let (lower_name, upper_name) = (lower.name.clone(), upper.name.clone());
                let change = if is_attached(upper.index) {
                    Change::SeenTwice { lower: lower_name, upper: upper_name }
                } else if upper.receives_from_ports() {
                    Change::IsPort { port: lower_name, of: upper_name }
                } else {
                    continue;
                };
                if related.insert((lower.index, upper.index)) {
                    changes.push(change);
                }
            }
        }
    }
}

/// Returns the name of the program that fits an interface, which is one of `links`.
fn entry_point(link: &Link, links: &[Link]) -> Result<&'static str, AttachError> {
    if link.kind != "vrf" {
        return attach::entry_point(link);
    }
    let ports = links.iter().filter(|port| port.master == Some(link.index));
    let ports: Vec<_> = ports.map(|port| port.name.as_str()).collect();
    let advice = match ports.as_slice() {
        [] => "attach to the interfaces in it".to_owned(),
        ports => format!("attach to {}", ports.join(", ")),
    };
    Err(AttachError::NoIngress { interface: link.name.clone(), advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vrf_is_refused_and_its_ports_are_named() {
        let vrf = Link { index: 5, name: "vrf0".to_owned(), kind: "vrf".to_owned(), ..Link::default() };
        let port = |index, name: &str| Link {
            index,
            name: name.to_owned(),
            hardware: libc::ARPHRD_ETHER,
            master: Some(5),
            ..Link::default()
        };
        let links = [port(1, "eth1"), vrf.clone(), port(2, "eth2")];
        let refused = |links: &[Link]| entry_point(&vrf, links).unwrap_err().to_string();
        let text = "vrf0 is a VRF, which has no ingress hook: attach to ";
        assert_eq!(refused(&links), format!("{text}eth1, eth2"));
        assert_eq!(refused(&[]), format!("{text}the interfaces in it"));
        assert_eq!(entry_point(&links[0], &links).unwrap(), ETHERNET);
    }
}
