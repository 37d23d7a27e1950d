//! Ending the following of connections: only of those that nobody watches, also of what is learned meanwhile.
#![cfg(feature = "kernel")]

use std::path::Path;

use anyhow::Result;
use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{
    flow_key::{Address, FlowKey},
    segment::Flow,
    wire::toa::Client,
};
use toa_tests::mounts;
use toa_userspace::live::flows::Flows;

const WATCHED: Address = Address([1; 4]);
const UNWATCHED: Address = Address([2; 4]);

fn key(ports: u32) -> FlowKey {
    FlowKey { source: WATCHED, destination: WATCHED, ports }
}

fn flow(generation: u64, client_address: Address) -> Flow {
    Flow { generation, client_address, ..Flow::EMPTY }
}

#[test]
fn a_connection_that_is_learned_meanwhile_is_not_ended() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let pin = Path::new(mounts::BPF).join("FLOWS");
        HashMap::<MapData, FlowKey, Flow>::create(4, 0)?.pin(&pin)?;
        let open = || Ok::<_, anyhow::Error>(Map::HashMap(MapData::from_pin(&pin)?));
        let mut kernel = HashMap::<_, FlowKey, Flow>::try_from(open()?)?;
        for (ports, client) in [(1, UNWATCHED), (2, UNWATCHED), (3, WATCHED)] {
            kernel.insert(key(ports), flow(ports.into(), client), 0)?;
        }
        let mut flows = Flows::new(open()?)?;
        // The first question is asked of the oldest. Meanwhile a new connection takes the place of the second, and
        // the first ends by itself.
        let mut asked = 0;
        let ended = flows.end(|client: &Client| {
            asked += 1;
            if asked == 1 {
                kernel.insert(key(2), flow(10, WATCHED), 0)?;
                kernel.remove(&key(1))?;
            }
            Ok::<_, MapError>(client.address == WATCHED)
        })?;
        let mut left: Vec<_> = flows.read()?.iter().map(|followed| followed.key.ports).collect();
        left.sort_unstable();
        assert_eq!((ended, left), (0, vec![2, 3]));
        Ok(())
    })
}
