//! Responsible for what tcpdump saw on a device: the witness to what is on the wire. Not responsible for the
//! meaning of a frame: see [`crate::oracle`].

use std::{fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    oracle::Segment,
    packet_builder::flags::FIN,
    process::{Process, Signal, describe},
    ready,
    veth::Device,
};

/// Bytes of a pcap file's header, and of the one before each packet.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// Bytes that hold the headers of any frame of a test.
const HEADERS: usize = 256;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    directory: TempDir,
}

impl Capture {
    /// Captures what `filter` matches among what `device` receives.
    pub fn start(device: &Device, filter: &str) -> Result<Self> {
        // As much as tcpdump knows.
        Self::start_with(device, filter, 0)
    }

    /// The same with the headers only, for many or large frames: the rest of each is zeros.
    pub fn start_headers(device: &Device, filter: &str) -> Result<Self> {
        Self::start_with(device, filter, HEADERS)
    }

    fn start_with(device: &Device, filter: &str, length: usize) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-capture-").tempdir()?;
        let file = directory.path().join("pcap");
        let child = device
            .namespace
            .command("tcpdump")
            .args(["--direction=in", "--immediate-mode", "-n", "-U", "-B", "16384", "-Z", "root"])
            .args(["-s", &length.to_string(), "-i"])
            .args([&device.name, "-w"])
            .arg(&file)
            .arg(filter)
            .stdin(Stdio::null())
            .stderr(fs::File::create(directory.path().join("stderr"))?)
            .spawn()
            .context("starting tcpdump")?;
        let mut process = Process::new("tcpdump", child);
        // It writes the file's header once it listens.
        ready::wait("tcpdump to listen", || {
            ensure!(process.status()?.is_none(), "tcpdump ended early");
            Ok(fs::metadata(&file).is_ok_and(|file| file.len() >= FILE_HEADER as u64).then_some(()))
        })?;
        Ok(Self { process, directory })
    }

    /// Waits until there are `enough` frames, ends it and returns them. Without the wait, tcpdump would leave
    /// frames behind that it had not read yet.
    pub fn stop_when(mut self, enough: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<Vec<u8>>> {
        let file = self.directory.path().join("pcap");
        // The last packet in the file may be half written.
        let written = || Ok(frames(&fs::read(&file)?).ok().filter(|frames| enough(frames)).map(drop));
        ready::wait("the frames to be captured", written)?;
        let status = self.process.stop(Signal::Interrupt)?;
        let said = fs::read_to_string(self.directory.path().join("stderr"))?;
        ensure!(status.success(), "tcpdump ended with {}: {said}", describe(status));
        ensure!(said.contains("\n0 packets dropped"), "tcpdump missed packets: {said}");
        frames(&fs::read(file)?)
    }

    /// As [`Self::stop_when`]: until the end of the connection from this port.
    pub fn stop_at_end_of(self, port: u16) -> Result<Vec<Vec<u8>>> {
        let is_end = |frame: &Vec<u8>| {
            Segment::of(frame).is_some_and(|it| it.source.port() == port && it.flags() & FIN != 0)
        };
        self.stop_when(|frames| frames.iter().any(is_end))
    }
}

/// The packets of a pcap file in this machine's byte order, each as long as it was on the wire.
fn frames(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    ensure!(file.starts_with(&0xa1b2_c3d4_u32.to_ne_bytes()), "no pcap file of this machine");
    let mut rest = file.get(FILE_HEADER..).context("a pcap file without header")?;
    let mut frames = Vec::new();
    while let Some((header, behind)) = rest.split_at_checked(PACKET_HEADER) {
        let number = |at: usize| -> Result<usize> {
            let number = header.get(at..).and_then(<[u8]>::first_chunk).context("no length")?;
            Ok(usize::try_from(u32::from_ne_bytes(*number))?)
        };
        let (length, on_the_wire) = (number(8)?, number(12)?);
        let (frame, behind) =
            behind.split_at_checked(length).context("a packet reaches past the file's end")?;
        let mut frame = frame.to_vec();
        frame.resize(on_the_wire.max(length), 0);
        frames.push(frame);
        rest = behind;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_from_a_file() {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        for frame in [&b"abc"[..], b"de"] {
            file.extend([0; 8]);
            file.extend(u32::try_from(frame.len()).unwrap().to_ne_bytes());
            file.extend(3_u32.to_ne_bytes());
            file.extend(frame);
        }
        assert_eq!(frames(&file).unwrap(), [b"abc".to_vec(), b"de\0".to_vec()]);
        assert!(frames(&file[..file.len() - 1]).is_err());
        assert!(frames(b"nothing").is_err());
    }
}
