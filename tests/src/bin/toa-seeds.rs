//! Writes the frames of the tests' tables as seeds of a fuzz target: `packet`, whose source describes the
//! format, or `pcap`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use toa_packets::{
    builder::PacketBuilder,
    capture_file::{PcapFile, pcapng},
    fixtures::{flows, headers, vectors},
};

fn main() -> Result<()> {
    let [target, directory] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("usage: toa-seeds packet|pcap DIRECTORY")?;
    let directory = PathBuf::from(directory);
    let write = match target.as_str() {
        "packet" => packet,
        "pcap" => pcap,
        other => bail!("no seeds for {other}"),
    };
    for vector in vectors::all()? {
        let [v4, v6] = [PacketBuilder::ipv4(), PacketBuilder::ipv6()]
            .map(|packet| packet.options(&vector.options).payload(b"GET / HTTP/1.1\r\n\r\n").build());
        write(&directory, &vector.id, &[v4, v6])?;
    }
    for header in headers::all() {
        write(&directory, header.id, &[header.frame])?;
    }
    for (number, flow) in flows::all().into_iter().enumerate() {
        let frames: Vec<_> = flow.steps.into_iter().map(|step| step.frame).collect();
        write(&directory, &format!("{}-{number}", flow.id), &frames)?;
    }
    Ok(())
}

/// Writes one input for each selection of TOA options that the target supports.
fn packet(directory: &Path, name: &str, frames: &[Vec<u8>]) -> Result<()> {
    for choice in 0..4 {
        let mut input = vec![choice];
        for frame in frames {
            input.extend(u16::try_from(frame.len())?.to_le_bytes());
            input.extend(frame);
        }
        fs::write(directory.join(format!("{name}-{choice}").replace(' ', "-")), input)?;
    }
    Ok(())
}

/// Writes one file in each format.
fn pcap(directory: &Path, name: &str, frames: &[Vec<u8>]) -> Result<()> {
    let name = name.replace(' ', "-");
    let mut file = PcapFile::new(Vec::new())?;
    for frame in frames {
        file.write(frame)?;
    }
    fs::write(directory.join(format!("{name}.pcap")), file.finish()?)?;
    fs::write(directory.join(format!("{name}.pcapng")), pcapng(frames.iter().map(Vec::as_slice))?)?;
    Ok(())
}
