//! A program of somebody else that ends the chain at a device's ingress hook.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, include_bytes_aligned,
    programs::{
        LinkOrder, SchedClassifier, TcAttachType,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};

use crate::{lab::veth::Device, tool::attached, wait};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_LAB_OBJECT"));

/// The program: programs after it see no packet. It is detached when this is dropped, or a moment later: a process that
/// another test is starting may still have the link open.
#[derive(Debug)]
pub struct ChainEnd {
    /// The kernel's id of the program.
    pub id: u32,
    _link: SchedClassifierLink,
    _object: Ebpf,
}

impl ChainEnd {
    /// Attaches it before all other programs.
    pub fn attach(device: &Device) -> Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("loading the lab's object")?;
        let program = object.program_mut("toa_lab_last").context("no program toa_lab_last")?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().context("loading a program that ends the chain")?;
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        let link = device
            .namespace
            .run(|| Ok(program.attach_with_options(&device.name, TcAttachType::Ingress, first)?))?;
        let (id, link) = (program.info()?.id(), program.take_link(link)?);
        Ok(Self { id, _link: link, _object: object })
    }
    /// Detaches it, and waits until the packets pass it by.
    pub fn detach(self, device: &Device) -> Result<()> {
        let id = self.id;
        drop(self);
        wait::until("the end of the program that ends the chain", || {
            Ok(attached::on(device)?.iter().all(|program| program.id != id).then_some(()))
        })
    }
}
