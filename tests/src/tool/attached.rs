//! Lists what is attached to a device, independently of the tool.

use anyhow::Result;
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

use crate::{lab::veth::Device, wait};

/// The name, as truncated by the kernel, of the program that the tool attaches to devices with a link header.
pub const PROGRAM: &str = "toa_ingress_eth";

/// A program on a device's ingress hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// The kernel's id of it.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// Returns the programs on the TCX ingress hook in the order in which they run.
pub fn on(device: &Device) -> Result<Vec<Attached>> {
    let (_, programs) =
        device.namespace.run(|| Ok(SchedClassifier::query_tcx(&device.name, TcAttachType::Ingress)?))?;
    let attached = programs.iter().map(|program| Attached {
        id: program.id(),
        name: program.name_as_str().unwrap_or_default().to_owned(),
    });
    Ok(attached.collect())
}

/// Returns the filters on the ingress hook as `tc` prints them.
pub fn filters_on(device: &Device) -> Result<String> {
    device.namespace.output("tc", &["filter", "show", "dev", &device.name, "ingress"])
}

/// Waits until the kernel has freed these programs, which is slightly later than their last descriptor is
/// closed.
pub fn wait_until_gone(programs: &[Attached]) -> Result<()> {
    wait::until("the kernel to free the programs", || {
        // A program may be freed while they are listed.
        let mut loaded = loaded_programs().filter_map(Result::ok).map(|program| program.id());
        Ok((!loaded.any(|id| programs.iter().any(|program| program.id == id))).then_some(()))
    })
}
