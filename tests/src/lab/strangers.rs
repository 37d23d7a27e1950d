//! What others have attached to a device: a TCX program, a netlink filter at the tool's priority, and qdiscs.

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    programs::{SchedClassifier, TcAttachType, tc::SchedClassifierLink},
};

use crate::{lab::veth::Device, tool::attached};

static OBJECT: &[u8] = include_bytes_aligned!(env!("TOA_BENCH_OBJECT"));

/// A program that leaves every packet to the next one.
const PROGRAM: &str = "toa_bench_empty";

/// What was attached. It goes with the device.
#[derive(Debug)]
pub struct Strangers {
    device: Device,
    tcx: Option<(SchedClassifierLink, Ebpf, u32)>,
    filters: String,
    qdiscs: String,
}

impl Strangers {
    /// Attaches a filter and qdiscs, and a TCX program if `has_tcx`.
    pub fn attach(device: &Device, has_tcx: bool) -> Result<Self> {
        let tc = |arguments: &[&str]| device.namespace.output("tc", arguments);
        let name = device.name.as_str();
        tc(&["qdisc", "replace", "dev", name, "root", "handle", "1:", "pfifo", "limit", "1000"])?;
        tc(&["qdisc", "add", "dev", name, "clsact"])?;
        let filter = ["filter", "add", "dev", name, "ingress", "protocol", "all", "prio", "7"];
        tc(&[&filter[..], &["bpf", "bytecode", "1,6 0 0 0,"]].concat())?;
        let tcx = has_tcx.then(|| device.namespace.run(|| attach(&device.name))).transpose()?;
        let (filters, qdiscs) = (attached::filters_on(device)?, qdiscs(device)?);
        Ok(Self { device: device.clone(), tcx, filters, qdiscs })
    }

    /// Fails unless all of it is still there, and nothing else.
    pub fn check(&self) -> Result<()> {
        let expected: Vec<u32> = self.tcx.iter().map(|(_, _, id)| *id).collect();
        if self.tcx.is_some() {
            let programs: Vec<u32> = attached::on(&self.device)?.iter().map(|program| program.id).collect();
            ensure!(programs == expected, "programs {programs:?}, not {expected:?}");
        }
        let filters = attached::filters_on(&self.device)?;
        ensure!(filters == self.filters, "filters:\n{filters}instead of:\n{}", self.filters);
        let qdiscs = qdiscs(&self.device)?;
        ensure!(qdiscs == self.qdiscs, "qdiscs:\n{qdiscs}instead of:\n{}", self.qdiscs);
        Ok(())
    }
}

fn attach(interface: &str) -> Result<(SchedClassifierLink, Ebpf, u32)> {
    let mut ebpf = EbpfLoader::new().load(OBJECT).context("loading a stranger's program")?;
    let program: &mut SchedClassifier = ebpf.program_mut(PROGRAM).context("no program")?.try_into()?;
    program.load()?;
    let link = program.attach(interface, TcAttachType::Ingress)?;
    let (link, id) = (program.take_link(link)?, program.info()?.id());
    Ok((link, ebpf, id))
}

fn qdiscs(device: &Device) -> Result<String> {
    device.namespace.output("tc", &["qdisc", "show", "dev", &device.name])
}
