use std::io::Write as _;

use flate2::{Compression as Level, write::GzEncoder};
use proptest::{prelude::*, sample::Index};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;
use crate::capture::{
    CaptureError, Next, Reader,
    tests::{Order, Row, row},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A frame to be skipped.
const SKIPPED: [u8; 13] = [0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5];

/// `zstd -3` of [`TEXT`], 40,000 times, read from a pipe: three blocks, a window of 2 MiB and a checksum.
const PIPED: [u8; 51] = [
    0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x7c, 0x00, 0x00, 0x38, 0x74, 0x6f, 0x61, 0x2d, 0x74, 0x63, 0x20,
    0x01, 0x00, 0xf6, 0xff, 0xca, 0x8b, 0x11, 0x4c, 0x00, 0x00, 0x08, 0x74, 0x01, 0x00, 0xfc, 0xff, 0x39,
    0x10, 0x02, 0x45, 0x00, 0x00, 0x08, 0x6f, 0x01, 0x00, 0xbc, 0xc5, 0x0e, 0x84, 0xed, 0x10, 0x38, 0xd5,
];
const TEXT: &[u8] = b"toa-tc ";

/// Returns a capture of packets that do not compress well.
fn capture() -> Vec<u8> {
    let mut random = 7_u32;
    let mut packet = |number| {
        let bytes: Vec<_> = (0..200)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 24) as u8
            })
            .collect();
        Order::Little.packet(number, 0, &bytes, bytes.len())
    };
    let packets: Vec<_> = (1..=40).flat_map(&mut packet).collect();
    [Order::Little.pcap(false, 101), packets].concat()
}

/// Reads a file in pieces of `size` bytes, to its end or an error.
fn read(file: &[u8], size: usize) -> (Vec<Row>, Result<(), String>) {
    let (mut reader, mut rows, mut rest) = (Reader::default(), Vec::new(), file);
    let end = loop {
        match reader.next_packet() {
            Ok(Next::Packet(packet)) => rows.push(row(&packet)),
            Ok(Next::NeedMore) => {
                let needs_input = !reader.is_ready();
                let (mut piece, behind) = rest.split_at(size.min(rest.len()));
                match reader.fill(&mut piece) {
                    Ok(0) => break reader.end().map_err(|error| error.to_string()),
                    Ok(bytes) => assert!(bytes <= 1 << 16),
                    Err(error) => break Err(error.to_string()),
                }
                assert_eq!(piece.is_empty(), needs_input || rest.is_empty());
                rest = if needs_input { behind } else { rest };
            }
            Err(error) => break Err(error.to_string()),
        }
    };
    (rows, end)
}

#[test]
fn a_compressed_capture_has_the_same_packets() {
    let plain = capture();
    let expected = read(&plain, plain.len());
    assert_eq!((expected.0.len(), &expected.1), (40, &Ok(())));
    let (first, second) = plain.split_at(3000);
    for file in [
        gzip(&plain),
        zstd(&plain),
        // Members and frames add up, whatever they have in common with packets.
        [gzip(first), gzip(b""), gzip(second)].concat(),
        [&SKIPPED[..], &zstd(first), &SKIPPED, &zstd(b""), &zstd(second), &SKIPPED].concat(),
    ] {
        for size in [13, 64, 1 << 16] {
            assert_eq!(read(&file, size), expected, "in pieces of {size}");
        }
    }
}

#[test]
fn zeros_after_gzip_data_are_padding() {
    let plain = capture();
    let expected = read(&plain, plain.len());
    let (first, second) = plain.split_at(3000);
    let members = [gzip(first), gzip(second)].concat();
    for zeros in [1, 2, 9, 10, 18, 511, 100_000] {
        let padded = [&members[..], &vec![0; zeros]].concat();
        for size in [13, 64, 1 << 16] {
            assert_eq!(read(&padded, size), expected, "{zeros} in pieces of {size}");
        }
        // Anything else after them is no member.
        for behind in [&b"x"[..], &gzip(b"")] {
            let (rows, end) = read(&[&padded, behind].concat(), 64);
            assert_eq!((&rows, end), (&expected.0, Err("the gzip data is damaged".to_owned())));
        }
    }
}

#[test]
fn what_another_program_has_compressed_is_read() {
    let mut decoder = Decoder::new(&PIPED).unwrap();
    let mut text = Vec::new();
    let mut piece = [0; 1000];
    loop {
        match decoder.read(&mut io::empty(), &mut piece).unwrap() {
            Some(0) => break,
            read => text.extend_from_slice(&piece[..read.unwrap_or(0)]),
        }
    }
    assert_eq!(text, TEXT.repeat(40_000));
}

#[test]
fn data_that_ends_early_gives_what_is_whole_and_an_error() {
    let plain = capture();
    let (expected, _) = read(&plain, plain.len());
    for (file, name) in [(gzip(&plain), "gzip"), (zstd(&plain), "zstd")] {
        let mut most = 0;
        for len in (4..30).chain((30..file.len()).step_by(61)).chain(file.len() - 10..file.len()) {
            let (rows, end) = read(&file[..len], 1 << 16);
            assert_eq!(end, Err(format!("the {name} data ends early")), "{len}");
            assert!(expected.starts_with(&rows) && rows.len() >= most, "{len}");
            most = rows.len();
        }
        assert_eq!(most, 40, "only the checksum is missing");
    }
    let (rows, end) = read(&[zstd(&plain), SKIPPED[..9].to_vec()].concat(), 1 << 16);
    assert_eq!((rows.len(), end), (40, Err("the zstd data ends early".to_owned())));
}

#[test]
fn damage_is_an_error_after_what_precedes_it() {
    let plain = capture();
    let (expected, _) = read(&plain, plain.len());
    for (file, name) in [(gzip(&plain), "gzip"), (zstd(&plain), "zstd")] {
        let damaged = Err(format!("the {name} data is damaged"));
        let mut checksum = file.clone();
        // gzip ends with a checksum of four bytes and a length, zstd with the checksum.
        checksum[file.len() - if name == "gzip" { 8 } else { 4 }] ^= 1;
        assert_eq!(read(&checksum, 64), (expected.clone(), damaged.clone()));
        // Not the beginning of another member or frame.
        let (rows, end) = read(&[&file[..], &[0xaa; 30]].concat(), 64);
        assert_eq!((rows, end), (expected.clone(), damaged));
    }
    assert!(read(&zstd(b""), 64).1 == Err(CaptureError::Empty.to_string()));
}

#[test]
fn a_small_file_of_many_bytes_is_read_in_pieces() {
    // A frame of 800 blocks, each of which repeats a byte 128 Ki times: 100 MiB.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
    bomb.extend([2, 0, 0x10, b'x'].repeat(800));
    bomb.extend([1, 0, 0]);
    let mut decoder = Decoder::new(&bomb).unwrap();
    let (mut piece, mut sum) = (vec![0; 1 << 16], 0);
    while let Some(bytes) = decoder.read(&mut io::empty(), &mut piece).unwrap()
        && bytes > 0
    {
        sum += bytes;
        // The window and a block, at four bytes for a block.
        let used = bomb.len() - decoder.pending().rest().len();
        assert!(used * (128 << 10) / 4 <= sum + (2 << 20) + (256 << 10), "{used}, {sum}");
    }
    assert_eq!(sum, 800 << 17);
    // A window that is larger than other programs accept.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(read(&huge, 64), (vec![], Err("the zstd data is damaged".to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn mutated_compressed_files_end(
        is_zstd: bool,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..8),
        end: Index,
    ) {
        let text = TEXT.repeat(400);
        let plain = [capture(), Order::Little.packet(50, 0, &text, text.len())].concat();
        let mut file = if is_zstd { zstd(&plain) } else { gzip(&plain) };
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.truncate(end.index(file.len() + 1));
        // No panic and no endless loop.
        let _ = read(&file, 1000);
    }
}
