//! Captures with tcpdump, as evidence of what is on the wire. [`toa_packets::oracle`] parses the frames.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use pcap_parser::parse_pcap;
use tempfile::TempDir;

use crate::{
    lab::veth::Device,
    process::{Process, Signal, describe},
    wait,
};
use toa_packets::{builder::flags::FIN, oracle::Segment};

/// Bytes of a pcap file header.
const FILE_HEADER: usize = 24;

/// Bytes that suffice for the headers of every frame in the tests.
const HEADERS: &str = "256";

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    directory: TempDir,
}

impl Capture {
    /// Captures the frames that `device` receives and `filter` matches.
    pub fn start(device: &Device, filter: &str) -> Result<Self> {
        // `-s 0` is tcpdump's maximum.
        Self::start_with(device, filter, &["--direction=in", "--immediate-mode", "-s", "0"])
    }

    /// Captures only the headers, for many or large frames. The rest of each frame is zeros.
    pub fn start_headers(device: &Device, filter: &str) -> Result<Self> {
        Self::start_with(device, filter, &["--direction=in", "--immediate-mode", "-s", HEADERS])
    }

    /// Captures like [`Self::start`], but in both directions and for many packets: tcpdump sees them up to a
    /// second late, but its buffer has room for thousands. In immediate mode, each packet takes the space of
    /// the largest possible one, so that only hundreds fit.
    pub fn start_both_ways(device: &Device, filter: &str) -> Result<Self> {
        Self::start_with(device, filter, &["--direction=inout", "-s", "0"])
    }

    fn start_with(device: &Device, filter: &str, options: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-capture-").tempdir()?;
        let file = directory.path().join("pcap");
        let child = device
            .namespace
            .command("tcpdump")
            .args(options)
            // The buffer size is in KiB. In immediate mode, each packet takes the space of the longest
            // possible one: 512 fit.
            .args(["-n", "-U", "-B", "131072", "-Z", "root", "-i"])
            .args([&device.name, "-w"])
            .arg(&file)
            .arg(filter)
            .stdin(Stdio::null())
            .stderr(fs::File::create(directory.path().join("stderr"))?)
            .spawn()
            .context("starting tcpdump")?;
        let mut process = Process::new("tcpdump", child);
        // tcpdump writes the file header once it listens.
        wait::until("tcpdump to listen", || {
            ensure!(process.status()?.is_none(), "tcpdump ended early");
            Ok(fs::metadata(&file).is_ok_and(|file| file.len() >= FILE_HEADER as u64).then_some(()))
        })?;
        Ok(Self { process, directory })
    }

    /// Waits until `enough` accepts the captured frames, stops tcpdump, and returns them. Stopping earlier would lose
    /// frames that tcpdump has not read.
    pub fn stop_when(self, enough: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<Vec<u8>>> {
        frames(&self.file_when(enough)?.read()?)
    }

    /// Like [`Self::stop_when`], but returns the file.
    fn file_when(mut self, enough: impl Fn(&[Vec<u8>]) -> bool) -> Result<Captured> {
        let file = self.directory.path().join("pcap");
        // The last packet in the file may be incomplete.
        let written = || Ok(frames(&fs::read(&file)?).ok().filter(|frames| enough(frames)).map(drop));
        wait::until("the frames to be captured", written)?;
        let status = self.process.stop(Signal::Interrupt)?;
        let said = fs::read_to_string(self.directory.path().join("stderr"))?;
        ensure!(status.success(), "tcpdump ended with {}: {said}", describe(status));
        ensure!(said.contains("\n0 packets dropped"), "tcpdump missed packets: {said}");
        Ok(Captured { file, _directory: self.directory })
    }

    /// Like [`Self::stop_when`], until the connection from this port ends.
    pub fn stop_at_end_of(self, port: u16) -> Result<Vec<Vec<u8>>> {
        self.stop_when(|frames| frames.iter().any(|frame| is_end_of(frame, port)))
    }

    /// Like [`Self::stop_at_end_of`], but returns the file.
    pub fn file_at_end_of(self, port: u16) -> Result<Captured> {
        self.file_when(|frames| frames.iter().any(|frame| is_end_of(frame, port)))
    }
}

/// Returns whether a frame ends the connection from this port.
fn is_end_of(frame: &[u8], port: u16) -> bool {
    Segment::of(frame).is_some_and(|segment| segment.source.port() == port && segment.flags() & FIN != 0)
}

/// A finished capture: a pcap file that is removed when this is dropped.
#[derive(Debug)]
pub struct Captured {
    file: PathBuf,
    _directory: TempDir,
}

impl Captured {
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    fn read(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.file)?)
    }
}

/// Returns the frames of a file that `filter` matches.
pub fn select(file: &Path, filter: &str) -> Result<Vec<Vec<u8>>> {
    let mut command = Command::new("tcpdump");
    let output =
        command.args(["-w", "-", "-r"]).arg(file).arg(filter).output().context("starting tcpdump")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    frames(&output.stdout)
}

/// Returns the frames of a pcap file, padded to their length on the wire.
fn frames(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Ok((rest, capture)) = parse_pcap(file) else { bail!("not a pcap file") };
    ensure!(rest.is_empty(), "the file ends within a packet");
    let frames = capture.blocks.iter().map(|block| {
        let mut frame = block.data.to_vec();
        frame.resize(frame.len().max(block.origlen as usize), 0);
        frame
    });
    Ok(frames.collect())
}

#[cfg(test)]
mod tests {
    use toa_packets::capture_file::PcapFile;

    use super::*;

    #[test]
    fn packets_are_taken_from_a_file() {
        let mut file = PcapFile::new(Vec::new()).unwrap();
        file.write(b"abc").unwrap();
        file.write(b"de").unwrap();
        let file = file.finish().unwrap();
        assert_eq!(frames(&file).unwrap(), [b"abc", &b"de"[..]]);
        assert!(frames(&file[..file.len() - 1]).is_err());
        assert!(frames(b"nothing").is_err());
    }
}
