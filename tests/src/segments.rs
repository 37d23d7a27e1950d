//! Random segments, valid and forged, sent to a real server whose Linux decides which of them count.
//!
//! A [`script`] is one connection: what a client sends, with [`forgery`] in between. [`verdict`] compares what nginx
//! logged with what the tool printed.

pub mod forgery;
pub mod script;
pub mod sent;
pub mod verdict;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use toa_packets::builder::flags::{ACK, RST};

use crate::lab::raw::{RawLab, Station};
use sent::Sent;

/// Stations that send at the same time.
const STATIONS: u8 = 64;
/// The port of the last connection.
const LAST_PORT: u16 = 65_000;
/// How often a connection takes the port of the one before, out of ten.
const REUSES: u8 = 3;

/// Sends `count` connections, the numbers of which begin at `first`, and a clean one after all others.
pub fn send(lab: &mut RawLab, seed: u64, first: u32, count: u32) -> Result<Vec<Sent>> {
    let mut stations = lab.stations(STATIONS + 1)?;
    let last = stations.pop().context("no station")?;
    let failed = AtomicU32::new(0);
    let mut all = thread::scope(|scope| -> Result<Vec<Sent>> {
        let workers: Vec<_> = (0..)
            .zip(stations)
            .map(|(number, station)| {
                let ids = (first + number..first + count).step_by(usize::from(STATIONS));
                let failed = &failed;
                scope.spawn(move || {
                    let result = work(&station, seed, ids, failed);
                    failed.fetch_add(u32::from(result.is_err()), Ordering::Relaxed);
                    result
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow::anyhow!("a station panicked"))??);
        }
        Ok(all)
    })?;
    all.push(script::run(&last, LAST_PORT, first + count, true, &mut Rng::with_seed(seed))?);
    Ok(all)
}

fn work(
    station: &Station,
    seed: u64,
    ids: impl Iterator<Item = u32>,
    failed: &AtomicU32,
) -> Result<Vec<Sent>> {
    let mut all = Vec::new();
    let mut port = 1024;
    for id in ids {
        if failed.load(Ordering::Relaxed) > 0 {
            break;
        }
        // A generator for each connection, so that one can be repeated without the others.
        let mut random = Rng::with_seed(seed ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first one is clean: it shows that the station computes checksums.
        let is_clean = all.is_empty();
        if is_clean || random.u8(0..10) >= REUSES {
            port += 1;
        }
        all.push(script::run(station, port, id, is_clean, &mut random)?);
    }
    // A server logs some requests only once their connection has ended.
    for sent in &all {
        for seq in sent.left_open.into_iter().flatten() {
            station.send(&station.packet(sent.peer.port()).flags(RST | ACK).numbers(seq, 0))?;
        }
    }
    Ok(all)
}
