//! Writers of capture files, as input for tests and benchmarks of readers.

use std::io::{self, Write};

/// Writes a pcap file in little-endian order with timestamps in microseconds.
#[derive(Debug)]
pub struct PcapFile<W> {
    output: W,
    packets: u32,
}

impl<W: Write> PcapFile<W> {
    /// Writes the file header: link type Ethernet, snap length 262,144 bytes.
    pub fn new(mut output: W) -> io::Result<Self> {
        for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 262_144, 1] {
            output.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { output, packets: 0 })
    }

    /// Writes a frame, one microsecond after the previous one.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let seconds = 1_795_333_407 + self.packets / 1_000_000;
        for word in [seconds, self.packets % 1_000_000, length, length] {
            self.output.write_all(&word.to_le_bytes())?;
        }
        self.packets += 1;
        self.output.write_all(frame)
    }

    /// Flushes and returns the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// Returns the frames as a little-endian pcapng file: a section header, one interface, and an enhanced packet
/// block for each frame.
pub fn pcapng<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut block = |kind: u32, words: &[u32], bytes: &[u8]| -> io::Result<()> {
        let padding = bytes.len().wrapping_neg() & 3;
        let length = 12 + 4 * words.len() + bytes.len() + padding;
        let length = u32::try_from(length).map_err(io::Error::other)?.to_le_bytes();
        file.extend(kind.to_le_bytes());
        file.extend(length);
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(bytes);
        file.extend([0, 0, 0].iter().take(padding));
        file.extend(length);
        Ok(())
    };
    block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], &[])?;
    block(1, &[1, 0], &[])?;
    for frame in frames {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        block(6, &[0, 0x0006_4600, 0x1234_5678, length, length], frame)?;
    }
    Ok(file)
}
