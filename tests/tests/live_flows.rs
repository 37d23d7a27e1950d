//! Only connections that are not watched or that ended long ago are removed from the map of followed ones.
#![cfg(feature = "kernel")]

use std::path::Path;

use anyhow::Result;
use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{
    address::{Address, Client},
    attribution::Attribution,
    flow::Flow,
    flow_key::FlowKey,
    limits::{LINGER_NS, SHORT_LINGER_NS},
};
use toa_tests::lab::mounts;
use toa_userspace::live::maps::flows::{Flows, SweepResult};

const WATCHED: Address = Address([1; 4]);
const UNWATCHED: Address = Address([2; 4]);

fn key(ports: u32) -> FlowKey {
    FlowKey { source: WATCHED, destination: WATCHED, ports }
}

fn flow(generation: u64, address: Address) -> Flow {
    Flow { generation, attribution: Attribution { address, ..Attribution::EMPTY }, ..Flow::EMPTY }
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
        let is_watched = |client: &Client, _| Ok::<_, MapError>(client.address == WATCHED);
        let unwatched = flows.unwatched(is_watched)?;
        assert_eq!(unwatched.iter().map(|followed| followed.key.ports).collect::<Vec<_>>(), [1, 2]);
        // In the meantime, a new connection replaces the second one, and the first ends by itself.
        kernel.insert(key(2), flow(10, WATCHED), 0)?;
        kernel.remove(&key(1))?;
        let ended = flows.end(&unwatched, is_watched)?;
        let mut left: Vec<_> = flows.read()?.iter().map(|followed| followed.key.ports).collect();
        left.sort_unstable();
        assert_eq!((ended, left), (0, vec![2, 3]));
        Ok(())
    })
}

#[test]
fn a_sweep_removes_what_ended_long_ago_and_nothing_else() -> Result<()> {
    const NOW_NS: u64 = 100 * LINGER_NS;
    // Up to half of the entries, and more.
    for (entries, linger_ns) in [(8, LINGER_NS), (4, SHORT_LINGER_NS)] {
        mounts::with_bpf_file_system(|| {
            let pin = Path::new(mounts::BPF).join("FLOWS");
            HashMap::<MapData, FlowKey, Flow>::create(entries, 0)?.pin(&pin)?;
            let open = || Ok::<_, anyhow::Error>(Map::HashMap(MapData::from_pin(&pin)?));
            let mut kernel = HashMap::<_, FlowKey, Flow>::try_from(open()?)?;
            // An open one that is silent, and ended ones by the time of their last packet.
            for (ports, ended_ns, last_ns) in
                [(1, 0, 1), (2, 1, 1), (3, 1, NOW_NS - linger_ns), (4, 1, NOW_NS - linger_ns - 1)]
            {
                kernel.insert(key(ports), Flow { ended_ns, last_ns, ..flow(ports.into(), WATCHED) }, 0)?;
            }
            let mut flows = Flows::new(open()?)?;
            assert_eq!(flows.sweep(NOW_NS)?, SweepResult { open: 1, removed: 2 });
            let left: Vec<_> = flows.read()?.iter().map(|followed| followed.key.ports).collect();
            assert_eq!(left, [1, 3], "{entries} entries");
            Ok(())
        })?;
    }
    Ok(())
}
