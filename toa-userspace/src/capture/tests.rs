use super::{
    limits::{MAX_INTERFACES, MAX_NAMES},
    names::UNNAMED,
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
        self.file_header(if is_nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }, link)
    }

    fn file_header(self, magic: u32, link: u32) -> Vec<u8> {
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

    /// Returns a packet block of the obsolete type, with an interface and a time below 2^32.
    fn obsolete(self, interface: u16, time: u32, bytes: &[u8], wire_len: u32) -> Vec<u8> {
        let numbers = [self.half(interface), self.half(7)];
        let header = [0, time, len(bytes), wire_len].map(|value| self.word(value));
        self.block(2, &[numbers.as_flattened(), header.as_flattened(), bytes].concat())
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
pub(crate) type Row = (u64, u32, LinkType, Vec<u8>, u32);

pub(crate) fn row(packet: &Packet<'_>) -> Row {
    (packet.time_ns, packet.interface, packet.link, packet.bytes.to_vec(), packet.wire_len)
}

/// Reads a file in pieces of `size` bytes.
fn read_in(file: &[u8], size: usize) -> (Vec<Row>, Result<(), CaptureError>, Names) {
    let mut reader = Reader::default();
    let (rows, end) = read_with(&mut reader, file, size);
    (rows, end, reader.names())
}

fn read_with(reader: &mut Reader, file: &[u8], size: usize) -> (Vec<Row>, Result<(), CaptureError>) {
    let mut rows = Vec::new();
    let mut rest = file;
    let end = loop {
        match reader.next_packet() {
            Ok(Next::Packet(packet)) => rows.push(row(&packet)),
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
    (rows, end)
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
                (time_ns, UNNAMED, LinkType::Ethernet, b"abc".to_vec(), 3),
                (8_000_000_000, UNNAMED, LinkType::Ethernet, b"de".to_vec(), 1500),
            ];
            assert_eq!(read(&file), (rows, Ok(())), "{order:?} {is_nano}");
        }
    }
}

#[test]
fn the_pcap_variant_of_old_systems_is_read_in_both_byte_orders() {
    for order in [Order::Little, Order::Big] {
        let mut file = order.file_header(0xa1b2_cd34, 1);
        file.extend([7, 5, 3, 60].map(|value| order.word(value)).as_flattened());
        file.extend(*b"eight by");
        file.extend(*b"abc");
        let row = (7_000_005_000, UNNAMED, LinkType::Ethernet, b"abc".to_vec(), 60);
        assert_eq!(read(&file), (vec![row], Ok(())), "{order:?}");
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
            (3000, UNNAMED, LinkType::Cooked, b"abcde".to_vec(), 9),
            ((1 << 32) + 1, 0, LinkType::Ethernet, vec![], 0),
            (4, 1, LinkType::Ip, b"f".to_vec(), 1),
            (0, 1, LinkType::Ip, b"gh".to_vec(), 77),
        ];
        assert_eq!(read(&file), (rows, Ok(())));
        let (_, _, names) = read_in(&file, 100);
        let names = [0, 1, UNNAMED].map(|number| names.get(number));
        assert_eq!(names.each_ref().map(Option::as_deref), [Some("eth0"), Some("tun0"), None]);
    }
}

#[test]
fn packet_blocks_of_the_obsolete_type_are_read() {
    for order in [Order::Little, Order::Big] {
        let mut file =
            [order.section(), order.interface(1, 0, None), order.interface(101, 0, Some("tun0"))].concat();
        file.extend(order.obsolete(0, 3, b"abcde", 9));
        file.extend(order.obsolete(1, 4, b"", 0));
        let rows =
            vec![(3000, UNNAMED, LinkType::Ethernet, b"abcde".to_vec(), 9), (4, 0, LinkType::Ip, vec![], 0)];
        assert_eq!(read(&file), (rows, Ok(())));
    }
}

#[test]
fn interfaces_do_not_add_up_over_sections() {
    let order = Order::Little;
    let section = |name: &str| {
        let packet = order.enhanced(1, 1, b"a", 1);
        [order.section(), order.interface(1, 0, Some("lo")), order.interface(1, 0, Some(name)), packet]
            .concat()
    };
    let file = section("eth0").repeat(3 * MAX_INTERFACES);
    let (rows, end, names) = read_in(&file, 1 << 15);
    assert_eq!((rows.len(), end), (3 * MAX_INTERFACES, Ok(())));
    assert!(rows.iter().all(|row| names.get(row.1).as_deref() == Some("eth0")));
    // With a new name in every section, the first ones are kept.
    let file: Vec<_> = (0..2 * MAX_NAMES).flat_map(|number| section(&number.to_string())).collect();
    let (rows, end, names) = read_in(&file, 1 << 15);
    assert_eq!((rows.len(), end), (2 * MAX_NAMES, Ok(())));
    let known = rows.iter().map_while(|row| names.get(row.1)).count();
    assert_eq!((known, rows.last().unwrap().1), (MAX_NAMES - 1, UNNAMED));
}

#[test]
fn a_truncated_file_gives_what_is_whole_and_an_error() {
    let order = Order::Little;
    let pcap = [order.pcap(false, 1), order.packet(1, 0, b"abc", 3), order.packet(2, 0, b"def", 3)].concat();
    let (section, interface) = (order.section(), order.interface(1, 0, Some("eth0")));
    let (first, second) = (order.enhanced(0, 1, b"abc", 3), order.enhanced(0, 2, b"def", 3));
    let ng = [&section[..], &interface, &first, &second].concat();
    for (file, header_len, whole) in
        [(pcap, 24, [24, 43, 62]), (ng, section.len(), [section.len() + interface.len(), 0, 0])]
    {
        for len in 1..file.len() {
            let (rows, end) = read(&file[..len]);
            assert!(rows.len() < 2);
            let is_whole = whole.contains(&len)
                || end == Ok(()) && len == file.len() - second.len()
                || end == Ok(()) && len == section.len();
            assert_eq!(end.is_ok(), is_whole, "{len} {end:?}");
            let (is_header, is_cut) =
                (len < header_len, matches!(end, Err(CaptureError::Truncated { bytes }) if bytes < len));
            assert_eq!(end == Err(CaptureError::TruncatedHeader), is_header, "{len} {end:?}");
            assert!(is_whole || is_header || is_cut, "{len} {end:?}");
        }
        assert_eq!((read(&file).0.len(), read(&file).1), (2, Ok(())));
    }
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    assert_eq!(read(b"").1, Err(CaptureError::Empty));
    for file in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET", b"BZ", b"\x0a\x0d\x0d\x0a\0\0\0\0\0\0\0\0"] {
        assert_eq!(read(file), (vec![], Err(CaptureError::NoCapture)), "{file:?}");
    }
    for (file, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh9", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")] {
        assert_eq!(read(file).1, Err(CaptureError::Compressed(name)));
    }
    let unknown = Order::Little.pcap(false, 105);
    assert_eq!(read(&unknown).1, Err(CaptureError::LinkType { number: 105 }));
}

#[test]
fn packets_of_an_unknown_link_type_are_skipped_and_counted() {
    let order = Order::Little;
    let mut file = [order.section(), order.interface(220, 0, None), order.interface(1, 0, None)].concat();
    file.extend(order.enhanced(0, 1, b"a", 1));
    file.extend(order.enhanced(1, 2, b"b", 1));
    file.extend(order.simple(b"c\0\0\0", 1));
    file.extend(order.obsolete(1, 3, b"d", 1));
    file.extend([order.section(), order.interface(239, 0, None), order.enhanced(0, 1, b"e", 1)].concat());
    let mut reader = Reader::default();
    let (rows, end) = read_with(&mut reader, &file, 64);
    let bytes: Vec<_> = rows.iter().map(|row| row.3.as_slice()).collect();
    assert_eq!((bytes, end), (vec![&b"b"[..], b"d"], Ok(())));
    assert_eq!(reader.skipped().iter().collect::<Vec<_>>(), [(&220, &2), (&239, &1)]);
}

#[test]
fn a_file_of_nothing_but_unknown_link_types_is_an_error() {
    let order = Order::Little;
    let start = [order.section(), order.interface(249, 0, None)].concat();
    assert_eq!(read(&start).1, Ok(()));
    let file = [start.clone(), order.enhanced(0, 1, b"a", 1)].concat();
    assert_eq!(read(&file), (vec![], Err(CaptureError::LinkType { number: 249 })));
    let said = CaptureError::LinkType { number: 249 }.to_string();
    assert!(said.starts_with("unsupported link type 249 (USB): supported are Ethernet (1), "), "{said}");
    // An interface without packets could have had some.
    let file = [start, order.interface(1, 0, None), order.enhanced(0, 1, b"a", 1)].concat();
    assert_eq!(read(&file), (vec![], Ok(())));
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
    for kind in [2, 3, 6] {
        let short = order.block(kind, b"none");
        let file = [section.clone(), order.interface(1, 0, None), short].concat();
        let is_error = matches!(read(&file).1, Err(CaptureError::Malformed { kind: of, .. }) if of == kind);
        assert_eq!(is_error, kind != 3, "a block of type {kind} with a length alone");
    }
    let mut contradiction = order.enhanced(0, 1, b"abcd", 4);
    contradiction[35] = 40;
    let file = [section.clone(), order.interface(1, 0, None), contradiction].concat();
    assert!(matches!(read(&file).1, Err(CaptureError::Malformed { kind: 6, .. })));
    let file = [section, order.enhanced(3, 1, b"a", 1)].concat();
    assert_eq!(read(&file).1, Err(CaptureError::NoInterface { offset, interface: 3 }));
}

#[test]
fn interfaces_of_a_section_are_bounded() {
    let order = Order::Little;
    let mut file = order.section();
    for _ in 0..=MAX_INTERFACES {
        file.extend(order.interface(1, 0, None));
    }
    assert_eq!(read_in(&file, 4096).1, Err(CaptureError::TooManyInterfaces));
}
