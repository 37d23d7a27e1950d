//! Writing of pcapng captures: the packets of followed connections with their original headers and the real client, as
//! Wireshark and `toa-tc read` open them.

use std::{borrow::Cow, mem, sync::Arc, time::Duration};

use pcap_file::{
    DataLink, Endianness, PcapError,
    pcapng::{
        PcapNgBlock as _, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};
use thiserror::Error;
use toa_common::record::{SegmentRecord, is_plaintext};

use super::recorded::Recorded;

/// Times are in nanoseconds (`if_tsresol`).
const NANOSECONDS: u8 = 9;

/// Where a VLAN tag is: after two MAC addresses (IEEE 802.1Q).
const TAG_AT: usize = 12;

/// The length of a VLAN tag, in bytes.
const TAG_LEN: u32 = 4;

/// Tag protocol identifier of a VLAN tag (IEEE 802.1Q).
const VLAN: [u8; 2] = [0x81, 0x00];

/// A function that finds the name of an interface by its index.
type InterfaceName = Box<dyn FnMut(u32) -> Option<Arc<str>> + Send>;

/// A block could not be written.
#[derive(Debug, Error)]
#[error("cannot write a block")]
pub struct WriterError(#[from] PcapError);

/// Collects the blocks of a capture.
pub struct Writer {
    interface_name: InterfaceName,
    /// The described interfaces, in their order: the index, and whether packets begin with an Ethernet header.
    interfaces: Vec<(u32, bool)>,
    blocks: PcapNgWriter<Vec<u8>>,
    /// Whether the section header must wait for a packet, so that a file without packets stays empty.
    is_waiting: bool,
}

impl Writer {
    /// Begins a capture.
    pub fn new(interface_name: InterfaceName) -> Result<Self, WriterError> {
        let blocks = PcapNgWriter::with_section_header(Vec::new(), section())?;
        Ok(Self { interface_name, interfaces: Vec::new(), blocks, is_waiting: false })
    }

    /// Begins another section, for another file, once there is a packet for it. What was not taken yet is dropped.
    pub fn restart(&mut self) -> Result<(), WriterError> {
        self.interfaces.clear();
        self.is_waiting = true;
        self.blocks = PcapNgWriter::with_section_header(Vec::new(), section())?;
        Ok(())
    }

    /// Returns what was not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        if self.is_waiting {
            return Vec::new();
        }
        mem::take(self.blocks.get_mut())
    }

    /// Returns the length of what was not taken yet, in bytes.
    pub fn pending_bytes(&self) -> usize {
        self.blocks.get_ref().len()
    }

    /// Adds the packet of a sample of the ring. `clock_offset_ns` is added to its time to get nanoseconds since the Unix
    /// epoch. A sample that is not a packet adds nothing: the pipeline counts it.
    pub fn packet(&mut self, sample: &[u8], clock_offset_ns: u64) -> Result<(), WriterError> {
        if is_plaintext(sample) {
            return Ok(());
        }
        let Some((record, rest)) = SegmentRecord::decode(sample) else { return Ok(()) };
        let bytes = usize::try_from(record.captured_len).ok().and_then(|len| rest.get(..len));
        let time_ns = record.time_ns.saturating_add(clock_offset_ns);
        let Some(bytes) = bytes else { return Ok(()) };
        let is_ethernet = usize::from(record.network_offset) >= TAG_AT;
        let interface_id = self.interface(record.interface_index, is_ethernet)?;
        let (data, original_len) = match bytes.split_at_checked(TAG_AT) {
            Some((addresses, rest)) if record.vlan_tci != 0 && is_ethernet => {
                let tag = [VLAN, record.vlan_tci.to_be_bytes()].concat();
                (Cow::from([addresses, &tag, rest].concat()), record.frame_len.saturating_add(TAG_LEN))
            }
            _ => (Cow::from(bytes), record.frame_len),
        };
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(time_ns),
            original_len,
            data,
            options: vec![EnhancedPacketOption::Comment(Recorded::from(&record).to_string().into())],
        };
        self.blocks.write_block(&block.into_block())?;
        Ok(())
    }

    /// Adds the counts of all interfaces together: packets that matched and packets that were lost, as of `time_ns`
    /// nanoseconds since the Unix epoch.
    pub fn statistics(&mut self, matched: u64, lost: u64, time_ns: u64) -> Result<(), WriterError> {
        let mut options =
            vec![InterfaceStatisticsOption::IsbIfRecv(matched), InterfaceStatisticsOption::IsbIfDrop(lost)];
        match self.interfaces.len() {
            0 => return Ok(()),
            1 => {}
            _ => options
                .push(InterfaceStatisticsOption::Comment("these are the counts of all interfaces".into())),
        }
        // The crate writes one number where the format has two halves, the higher first (pcapng section 4.6).
        let timestamp = time_ns.rotate_left(32);
        let block = InterfaceStatisticsBlock { interface_id: 0, timestamp, options };
        self.blocks.write_block(&block.into_block())?;
        Ok(())
    }

    /// Returns the number of an interface, which is described when it is first used.
    fn interface(&mut self, index: u32, is_ethernet: bool) -> Result<u32, WriterError> {
        let known = self.interfaces.iter().position(|interface| *interface == (index, is_ethernet));
        let number = match known {
            Some(number) => number,
            None => self.describe(index, is_ethernet)?,
        };
        Ok(u32::try_from(number).unwrap_or(0))
    }

    fn describe(&mut self, index: u32, is_ethernet: bool) -> Result<usize, WriterError> {
        let name = (self.interface_name)(index);
        let name = name.as_deref().map(|name| InterfaceDescriptionOption::IfName(name.into()));
        let block = InterfaceDescriptionBlock {
            linktype: if is_ethernet { DataLink::ETHERNET } else { DataLink::RAW },
            // No limit.
            snaplen: 0,
            options: name.into_iter().chain([InterfaceDescriptionOption::IfTsResol(NANOSECONDS)]).collect(),
        };
        self.blocks.write_block(&block.into_block())?;
        self.is_waiting = false;
        self.interfaces.push((index, is_ethernet));
        Ok(self.interfaces.len().saturating_sub(1))
    }
}

/// Returns the header of a section.
fn section() -> SectionHeaderBlock<'static> {
    let program = format!("toa-tc {}", env!("CARGO_PKG_VERSION"));
    SectionHeaderBlock {
        endianness: Endianness::Little,
        options: vec![SectionHeaderOption::UserApplication(program.into())],
        ..SectionHeaderBlock::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Names, Next, PacketBuf, Reader},
        segment::tests::sample_bytes,
    };

    /// The offset of the tag in a record.
    const VLAN_TCI: usize = 58;

    fn read(capture: &[u8]) -> (Vec<PacketBuf>, Names) {
        let mut reader = Reader::new(Names::default());
        let (mut input, mut packets) = (capture, Vec::new());
        loop {
            while let Next::Packet(packet) = reader.next_packet().unwrap() {
                packets.push(PacketBuf::from(packet));
            }
            if reader.fill(&mut input).unwrap() == 0 {
                break;
            }
        }
        reader.end().unwrap();
        (packets, reader.names())
    }

    #[test]
    fn packets_are_read_as_they_were_on_the_wire_with_what_was_known_of_them() {
        let mut writer = Writer::new(Box::new(|index| Some(format!("eth{index}").into()))).unwrap();
        let plain = sample_bytes(b"GET / HTTP/1.1\r\n\r\n");
        let mut tagged = plain.clone();
        tagged[VLAN_TCI..][..2].copy_from_slice(&0x0fff_u16.to_ne_bytes());
        let (record, _) = SegmentRecord::decode(&tagged).unwrap();
        assert_eq!(record.vlan_tci, 0x0fff);
        writer.packet(&plain, 1 << 60).unwrap();
        let first = writer.take();
        writer.packet(&tagged, 1 << 60).unwrap();
        writer.packet(b"too short", 1).unwrap();
        writer.statistics(2, 1, 1 << 60).unwrap();
        assert_eq!(writer.pending_bytes(), writer.blocks.get_ref().len());
        let (packets, names) = read(&[first, writer.take()].concat());

        let [plain, tagged] = [0, 1].map(|at: usize| packets[at].packet());
        assert_eq!(
            (packets.len(), names.get(plain.interface).as_deref()),
            (2, Some(&*format!("eth{}", record.interface_index)))
        );
        let time_ns = record.time_ns + (1 << 60);
        assert_eq!((plain.time_ns, tagged.time_ns), (time_ns, time_ns));
        assert_eq!(plain.comment.unwrap().parse(), Ok(Recorded::from(&record)));
        assert_eq!(tagged.comment, plain.comment);
        let (before, behind) = plain.bytes.split_at(TAG_AT);
        assert_eq!(tagged.bytes, [before, &[0x81, 0x00, 0x0f, 0xff], behind].concat());
        assert_eq!(tagged.wire_len, plain.wire_len + TAG_LEN);
    }

    #[test]
    fn a_further_file_without_packets_stays_empty() {
        let mut writer = Writer::new(Box::new(|_| None)).unwrap();
        assert!(!writer.take().is_empty());
        writer.restart().unwrap();
        writer.statistics(1, 0, 1).unwrap();
        assert!(writer.take().is_empty());
        writer.packet(&sample_bytes(b"x"), 0).unwrap();
        assert_eq!(read(&writer.take()).0.len(), 1);
    }
}
