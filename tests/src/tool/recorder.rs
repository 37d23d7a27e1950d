//! Attaches the shipped program without the tool and reads its records from the rings.

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use toa_common::record::SegmentRecord;
use toa_userspace::{
    live::{
        maps::watch::Watch,
        program::{
            attachments::{Attachments, Wanted},
            load::{LoadOptions, Loaded},
        },
        rings::Rings,
    },
    rule::Rule,
};

use crate::{lab::veth::Device, wait};

/// Size of each CPU's ring in bytes: enough for what a test sends.
const RING: usize = 1 << 25;

/// An attached program that follows every client.
#[derive(Debug)]
pub struct Recorder {
    rings: Rings,
    _attachments: Attachments,
    _loaded: Loaded,
}

impl Recorder {
    /// Attaches the program.
    pub fn attach(device: &Device) -> Result<Self> {
        let wanted = [Wanted::Name(device.name.clone())];
        let (mut attachments, programs) = device.namespace.run(|| {
            let attachments = Attachments::find(&wanted, false)?;
            let programs = attachments.programs()?;
            Ok((attachments, programs))
        })?;
        let mut loaded = Loaded::new(programs, &LoadOptions::default())?;
        Watch::new(loaded.take_map("WATCH")?, loaded.take_map("PREFIXES")?, loaded.take_map("SHAPES")?)?
            .add(&[Rule::Any])?;
        let Map::PerfEventArray(map) = loaded.map("EVENTS")? else { bail!("EVENTS is no perf event array") };
        let rings = Rings::open(map, RING)?;
        device.namespace.run(|| Ok(attachments.start(&mut loaded)?))?;
        Ok(Self { rings, _attachments: attachments, _loaded: loaded })
    }

    /// Waits for at least this many records and returns them, each with the bytes that follow it.
    pub fn records(&mut self, count: usize) -> Result<Vec<(SegmentRecord, Vec<u8>)>> {
        let mut records = Vec::new();
        wait::until("records", || {
            let mut broken = None;
            self.rings.drain(|sample| match SegmentRecord::decode(sample) {
                Some((record, frame)) => records.push((record, frame.to_vec())),
                None => broken = Some(sample.len()),
            });
            if let Some(length) = broken {
                bail!("a sample of {length} bytes");
            }
            Ok((records.len() >= count).then_some(()))
        })
        .with_context(|| format!("{} of {count} records", records.len()))?;
        Ok(records)
    }
}
