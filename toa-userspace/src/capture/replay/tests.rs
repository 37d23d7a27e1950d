mod reuse;

use proptest::{prelude::*, sample::Index};
use toa_common::{
    config::Config,
    wire::tcp::{ACK, FIN, SYN},
};

use crate::{
    capture::{CaptureError, Next, Reader, classifier::tests::ip_packet, replay::*, tests::Order},
    event::Event,
    pipeline::connection::Connection,
    print::{hidden::Hidden, ledger::Summary},
};

/// Records the targets of requests.
#[derive(Default)]
struct RecordingSink(Vec<String>);

impl Sink for RecordingSink {
    fn event(&mut self, _: &Connection, event: &Event<'_>) {
        if let Event::Request(request) = event {
            self.0.push(String::from_utf8_lossy(request.target()).into_owned());
        }
    }
}

fn replay() -> Replay {
    let selection = Selection {
        config: Config::DEFAULT.following_any(),
        rules: Vec::new(),
        balancers: Vec::new(),
        max_flows: 100,
    };
    Replay::new(selection, Limits::default())
}

/// Packets from a client, as IP packets.
fn packets() -> Vec<Vec<u8>> {
    let up = |seq, flags, payload: &[u8]| {
        ip_packet(([10, 9, 0, 1], 7), ([10, 9, 0, 2], 80), seq, flags, &[], payload)
    };
    let first = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    let second = b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n";
    let (at, end) = (10 + first.len() as u32, 10 + first.len() as u32 + second.len() as u32);
    vec![up(9, SYN, b""), up(10, ACK, first), up(at, ACK, second), up(end, ACK | FIN, b"")]
}

fn pcap() -> Vec<u8> {
    let order = Order::Little;
    let packets = packets().into_iter().map(|bytes| order.packet(1, 0, &bytes, bytes.len()));
    [order.pcap(false, 101)].into_iter().chain(packets).flatten().collect()
}

fn pcapng() -> Vec<u8> {
    let order = Order::Big;
    let packets = packets().into_iter().map(|bytes| order.enhanced(0, 1, &bytes, bytes.len()));
    let start = [order.section(), order.interface(101, 0, Some("tun0"))];
    start.into_iter().chain(packets).flatten().collect()
}

/// Replays a file, or what there is of it.
fn replay_all(replay: &mut Replay, mut input: &[u8], kept: &mut RecordingSink) -> Result<(), CaptureError> {
    let mut reader = Reader::default();
    loop {
        if let Next::Packet(packet) = reader.next_packet()? {
            replay.packet(packet, kept);
        } else if reader.fill(&mut input).unwrap() == 0 {
            return reader.end();
        }
    }
}

/// Reads a file as the command does, and checks that the ledger adds up at its end.
fn run(file: &[u8]) -> (Vec<String>, Result<(), CaptureError>) {
    let (mut replay, mut kept) = (replay(), RecordingSink::default());
    let end = replay_all(&mut replay, file, &mut kept);
    replay.finish(&mut kept);
    let summary = Summary {
        counters: replay.counters(),
        pipeline: replay.ledger(),
        examples: replay.examples(),
        evicted: 0,
        after_gro: false,
        hidden: Hidden::default(),
        is_unwritten: false,
    }
    .to_string();
    assert!(!summary.contains("do not add up"), "{summary}");
    (kept.0, end)
}

#[test]
fn requests_are_found_in_either_format() {
    for file in [pcap(), pcapng()] {
        assert_eq!(run(&file), (vec!["/1".to_owned(), "/2".to_owned()], Ok(())));
    }
}

#[test]
fn requests_before_an_error_are_found() {
    for mut file in [pcap(), pcapng()] {
        file.extend([0xff; 40]);
        let (found, end) = run(&file);
        assert_eq!(found, ["/1", "/2"]);
        assert!(end.is_err());
    }
}

#[test]
fn a_request_is_found_as_soon_as_it_is_complete() {
    let file = pcap();
    let second = file.windows(7).position(|window| window == b"GET /2 ").unwrap();
    let (mut replay, mut kept) = (replay(), RecordingSink::default());
    assert!(replay_all(&mut replay, &file[..second], &mut kept).is_err());
    assert_eq!(kept.0, ["/1"]);
}

#[test]
fn a_stream_whose_beginning_may_be_missing_begins_when_nothing_comes() {
    let (order, packets) = (Order::Little, packets());
    let file = [order.pcap(false, 101), order.packet(1, 0, &packets[1], packets[1].len())].concat();
    let (mut replay, mut kept) = (replay(), RecordingSink::default());
    replay_all(&mut replay, &file, &mut kept).unwrap();
    assert_eq!(kept.0, [""; 0]);
    replay.idle(&mut kept);
    assert_eq!(kept.0, ["/1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn mutated_files_end(
        is_ng: bool,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..8),
        end: Index,
    ) {
        let mut file = if is_ng { pcapng() } else { pcap() };
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.truncate(end.index(file.len() + 1));
        // No panic, no endless loop, and sums that add up.
        let _ = run(&file);
    }
}
