//! Clients for whom something worth a remark was counted.

use super::remarks::PIPELINE_REMARKS;
use crate::address::ClientAddress;

/// How many clients are named as examples.
pub const MAX_EXAMPLES: usize = 3;

/// Up to three clients for each remark of a pipeline.
#[derive(Clone, Debug)]
pub struct Examples([Vec<ClientAddress>; PIPELINE_REMARKS]);

impl Default for Examples {
    fn default() -> Self {
        Self([const { Vec::new() }; PIPELINE_REMARKS])
    }
}

impl Examples {
    /// Adds `client` to the remarks whose counts have changed.
    pub fn add(
        &mut self,
        before: &[u64; PIPELINE_REMARKS],
        after: &[u64; PIPELINE_REMARKS],
        client: impl Fn() -> ClientAddress,
    ) {
        if before == after {
            return;
        }
        for ((before, after), clients) in before.iter().zip(after).zip(&mut self.0) {
            if before != after && clients.len() < MAX_EXAMPLES {
                let client = client();
                if !clients.contains(&client) {
                    clients.push(client);
                }
            }
        }
    }

    /// Returns the clients of each remark, in the order of [`super::Ledger::remarks`].
    pub fn clients(&self) -> impl Iterator<Item = &[ClientAddress]> {
        self.0.iter().map(Vec::as_slice)
    }
}
