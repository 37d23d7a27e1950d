use super::{
    limits::{MAX_INTERFACES, MAX_NAME_BYTES},
    *,
};

/// Writes captures in the given byte order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn half(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn word(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Returns the header of a pcap file, with a resolution of micro- or nanoseconds.
    pub(crate) fn pcap(self, is_nano: bool, link: u32) -> Vec<u8> {
        let magic = if is_nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut file = self.word(magic).to_vec();
        file.extend([self.half(2), self.half(4)].as_flattened());
        file.extend([0, 0, 262_144, link].map(|value| self.word(value)).as_flattened());
        file
    }

    /// Returns a packet of a pcap file.
    pub(crate) fn packet(self, seconds: u32, fraction: u32, bytes: &[u8], wire_len: usize) -> Vec<u8> {
        let header = [seconds, fraction, len(bytes), u32::try_from(wire_len).unwrap()];
        [header.map(|value| self.word(value)).as_flattened(), bytes].concat()
    }

    /// Returns a block of a pcapng file.
    fn block(self, kind: u32, content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(4), 0);
        let len = self.word(len(&content) + 12);
        [&self.word(kind)[..], &len, &content, &len].concat()
    }

    /// Returns the first block of a section.
    pub(crate) fn section(self) -> Vec<u8> {
        let version = [self.half(1), self.half(0)];
        self.block(0x0a0d_0d0a, &[&self.word(0x1a2b_3c4d)[..], version.as_flattened(), &[0xff; 8]].concat())
    }

    /// Builds an interface description block. If `name` is given, it also sets `if_tsresol` to nanoseconds.
    pub(crate) fn interface(self, link: u16, snaplen: u32, name: Option<&str>) -> Vec<u8> {
        let mut content = [&self.half(link)[..], &[0; 2], &self.word(snaplen)].concat();
        if let Some(name) = name {
            for (code, value) in [(2, name.as_bytes()), (9, &[9])] {
                content
                    .extend([self.half(code), self.half(u16::try_from(value.len()).unwrap())].as_flattened());
                content.extend(value);
                content.resize(content.len().next_multiple_of(4), 0);
            }
            content.extend([0; 4]);
        }
        self.block(1, &content)
    }

    /// Returns a packet block with an interface and a time.
    pub(crate) fn enhanced(self, interface: u32, time: u64, bytes: &[u8], wire_len: usize) -> Vec<u8> {
        let (high, low) = (u32::try_from(time >> 32).unwrap(), u32::try_from(time & 0xffff_ffff).unwrap());
        let header = [interface, high, low, len(bytes), u32::try_from(wire_len).unwrap()];
        self.block(6, &[header.map(|value| self.word(value)).as_flattened(), bytes].concat())
    }

    /// Returns a packet block without a time; its interface is the section's first.
    fn simple(self, bytes: &[u8], wire_len: u32) -> Vec<u8> {
        self.block(3, &[&self.word(wire_len)[..], bytes].concat())
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// Time, interface, link type, captured bytes and length on the wire.
type Row = (u64, u32, LinkType, Vec<u8>, u32);

/// Reads a file in pieces of `size` bytes.
fn read_in(file: &[u8], size: usize) -> (Vec<Row>, Result<(), CaptureError>, Names) {
    let mut reader = Reader::default();
    let mut rows = Vec::new();
    let mut rest = file;
    let end = loop {
        match reader.next_packet() {
            Ok(Next::Packet(Packet { time_ns, interface, link, bytes, wire_len })) => {
                rows.push((time_ns, interface, link, bytes.to_vec(), wire_len));
            }
            Ok(Next::NeedMore) => {
                let (mut piece, behind) = rest.split_at(size.min(rest.len()));
                rest = behind;
                if reader.fill(&mut piece).unwrap() == 0 {
                    break reader.end();
                }
                assert!(piece.is_empty());
            }
            Err(error) => break Err(error),
        }
    };
    (rows, end, reader.names())
}

fn read(file: &[u8]) -> (Vec<Row>, Result<(), CaptureError>) {
    let (rows, end, _) = read_in(file, file.len().max(1));
    for size in [1, 7, 64] {
        let (again, end_again, _) = read_in(file, size);
        assert_eq!((&again, &end_again), (&rows, &end), "in pieces of {size}");
    }
    (rows, end)
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for order in [Order::Little, Order::Big] {
        for (is_nano, time_ns) in [(false, 7_000_005_000), (true, 7_000_000_005)] {
            let mut file = order.pcap(is_nano, 1);
            file.extend(order.packet(7, 5, b"abc", 3));
            file.extend(order.packet(8, 0, b"de", 1500));
            let rows = vec![
                (time_ns, 0, LinkType::Ethernet, b"abc".to_vec(), 3),
                (8_000_000_000, 0, LinkType::Ethernet, b"de".to_vec(), 1500),
            ];
            assert_eq!(read(&file), (rows, Ok(())), "{order:?} {is_nano}");
        }
    }
}

#[test]
fn pcapng_is_read_with_several_interfaces_and_sections() {
    for (order, second) in [(Order::Little, Order::Big), (Order::Big, Order::Little)] {
        let mut file = order.section();
        file.extend(order.interface(1, 0, Some("eth0")));
        file.extend(order.interface(113, 2, None));
        file.extend(order.block(4, b"a block to be passed over"));
        file.extend(order.enhanced(1, 3, b"abcde", 9));
        file.extend(order.enhanced(0, (1 << 32) + 1, b"", 0));
        file.extend(second.section());
        file.extend(second.interface(101, 2, Some("tun0")));
        file.extend(second.enhanced(0, 4, b"f", 1));
        file.extend(second.simple(b"gh\0\0", 77));
        let rows = vec![
            (3000, 1, LinkType::Cooked, b"abcde".to_vec(), 9),
            ((1 << 32) + 1, 0, LinkType::Ethernet, vec![], 0),
            (4, 2, LinkType::Ip, b"f".to_vec(), 1),
            (0, 2, LinkType::Ip, b"gh".to_vec(), 77),
        ];
        assert_eq!(read(&file), (rows, Ok(())));
        let (_, _, names) = read_in(&file, 100);
        let names = [0, 1, 2, 3].map(|number| names.get(number));
        assert_eq!(names, [Some("eth0".to_owned()), None, Some("tun0".to_owned()), None]);
    }
}

#[test]
fn a_truncated_file_gives_what_is_whole_and_an_error() {
    let order = Order::Little;
    let pcap = [order.pcap(false, 1), order.packet(1, 0, b"abc", 3), order.packet(2, 0, b"def", 3)].concat();
    let (section, interface) = (order.section(), order.interface(1, 0, Some("eth0")));
    let (first, second) = (order.enhanced(0, 1, b"abc", 3), order.enhanced(0, 2, b"def", 3));
    let ng = [&section[..], &interface, &first, &second].concat();
    for (file, whole) in [(pcap, [24, 43, 62]), (ng, [section.len() + interface.len(), 0, 0])] {
        for len in 1..file.len() {
            let (rows, end) = read(&file[..len]);
            assert!(rows.len() < 2);
            let is_whole = whole.contains(&len)
                || end == Ok(()) && len == file.len() - second.len()
                || end == Ok(()) && len == section.len();
            assert_eq!(end.is_ok(), is_whole, "{len} {end:?}");
            assert!(is_whole || matches!(end, Err(CaptureError::Truncated { .. })), "{len} {end:?}");
        }
        assert_eq!((read(&file).0.len(), read(&file).1), (2, Ok(())));
    }
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    assert_eq!(read(b"").1, Err(CaptureError::Empty));
    for file in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x1f\x8b\x08\0", b"\x0a\x0d\x0d\x0a\0\0\0\0\0\0\0\0"] {
        assert_eq!(read(file), (vec![], Err(CaptureError::NoCapture)), "{file:?}");
    }
    let unknown = Order::Little.pcap(false, 105);
    assert_eq!(read(&unknown).1, Err(CaptureError::LinkType { number: 105 }));
}

#[test]
fn an_interface_of_an_unknown_link_type_matters_with_its_first_packet() {
    let order = Order::Little;
    let mut file = [order.section(), order.interface(1, 0, None), order.interface(249, 0, None)].concat();
    file.extend(order.enhanced(0, 1, b"a", 1));
    assert_eq!(read(&file).1, Ok(()));
    file.extend(order.enhanced(1, 1, b"b", 1));
    let (rows, end) = read(&file);
    assert_eq!((rows.len(), end), (1, Err(CaptureError::LinkType { number: 249 })));
}

#[test]
fn lengths_and_blocks_that_make_no_sense_are_errors_and_no_wait() {
    let order = Order::Big;
    let mut long = order.pcap(false, 1);
    long.extend([0, 0, u32::MAX, 0].map(u32::to_be_bytes).as_flattened());
    assert_eq!(read(&long).1, Err(CaptureError::Length { offset: 24, length: u32::MAX.into() }));
    let section = order.section();
    let offset = section.len() as u64;
    for (block, error) in [
        ([6, 8, 0, 0], CaptureError::Length { offset, length: 8 }),
        ([6, 1 << 25, 0, 0], CaptureError::Length { offset, length: 1 << 25 }),
        ([6, 16, 0, 16], CaptureError::Malformed { offset, kind: 6 }),
        ([2, 16, 0, 16], CaptureError::Malformed { offset, kind: 2 }),
        ([1, 16, 0, 16], CaptureError::Malformed { offset, kind: 1 }),
    ] {
        let file = [&section[..], block.map(u32::to_be_bytes).as_flattened()].concat();
        assert_eq!(read(&file).1, Err(error));
    }
    // More captured bytes than the block has: `pcap-parser` alone would ask for more input without end.
    let mut lying = order.enhanced(0, 1, b"abcd", 4);
    lying[20..24].copy_from_slice(&5000_u32.to_be_bytes());
    let file = [section.clone(), order.interface(1, 0, None), lying].concat();
    assert!(matches!(read(&file).1, Err(CaptureError::Malformed { kind: 6, .. })));
    let file = [section, order.enhanced(3, 1, b"a", 1)].concat();
    assert_eq!(read(&file).1, Err(CaptureError::NoInterface { offset, interface: 3 }));
}

#[test]
fn interfaces_are_bounded_and_their_names_escaped() {
    let order = Order::Little;
    let mut file = order.section();
    for _ in 0..=MAX_INTERFACES {
        file.extend(order.interface(1, 0, None));
    }
    assert_eq!(read_in(&file, 4096).1, Err(CaptureError::TooManyInterfaces));
    let terminal = [order.section(), order.interface(1, 0, Some("\x1b[1m"))].concat();
    assert_eq!(read_in(&terminal, 4096).2.get(0).unwrap(), r"\x1b[1m");
    let long = [order.section(), order.interface(1, 0, Some(&"x".repeat(1000)))].concat();
    assert_eq!(read_in(&long, 4096).2.get(0).unwrap().len(), MAX_NAME_BYTES);
}
