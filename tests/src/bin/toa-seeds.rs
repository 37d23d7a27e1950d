//! Writes the frames of the tests' tables as the first inputs of the fuzz target `packet`: see there for their form.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use toa_tests::{
    fixtures::{flows, headers, vectors},
    packet_builder::PacketBuilder,
};

fn main() -> Result<()> {
    let directory = PathBuf::from(env::args_os().nth(1).context("usage: toa-seeds DIRECTORY")?);
    let write = |name: &str, frames: &[Vec<u8>]| -> Result<()> {
        for choice in 0..4 {
            let mut input = vec![choice];
            for frame in frames {
                input.extend(u16::try_from(frame.len())?.to_le_bytes());
                input.extend(frame);
            }
            fs::write(directory.join(format!("{name}-{choice}").replace(' ', "-")), input)?;
        }
        Ok(())
    };
    for vector in vectors::all()? {
        let [v4, v6] = [PacketBuilder::ipv4(), PacketBuilder::ipv6()]
            .map(|packet| packet.options(&vector.options).payload(b"GET /").build());
        write(&vector.id, &[v4, v6])?;
    }
    for header in headers::all() {
        write(header.id, &[header.frame])?;
    }
    for (number, flow) in flows::all().into_iter().enumerate() {
        let frames: Vec<_> = flow.steps.into_iter().map(|step| step.frame).collect();
        write(&format!("{}-{number}", flow.id), &frames)?;
    }
    Ok(())
}
