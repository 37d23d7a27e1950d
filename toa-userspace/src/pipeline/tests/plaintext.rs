//! Plaintext beside the packets of TLS connections.

use super::*;
use crate::{
    segment::{Start, details::Details, plaintext::Plaintext},
    tls::tests::hello,
};
use toa_common::{bypass::Bypass, flow_key::FlowKey, seq::Seq};

/// Returns a read of connection 1 at `offset`.
fn plaintext(offset: u32, bytes: &[u8]) -> Plaintext<'_> {
    let segment = segment(1, offset, bytes);
    let details = Details { ack: Seq(offset), ..segment.details };
    Plaintext { segment: Segment { start: Start::Known(Seq(0)), details, ..segment }, is_end: false }
}

fn end(offset: u32) -> Plaintext<'static> {
    Plaintext { is_end: true, ..plaintext(offset, b"") }
}

/// A connection whose `ClientHello` has arrived.
fn greeted() -> (Pipeline, RecordingSink) {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    pipeline.segment(&segment(1, 1, &hello()), &mut kept);
    (pipeline, kept)
}

#[test]
fn requests_are_read_in_the_order_of_their_offsets() {
    let (mut pipeline, mut kept) = greeted();
    pipeline.read(&plaintext(0, &GET[..5]), &mut kept);
    pipeline.segment(&segment(1, 2000, &[0x17; 500]), &mut kept);
    // From the rings of two CPUs.
    pipeline.read(&plaintext(18, GET), &mut kept);
    pipeline.read(&plaintext(5, &GET[5..]), &mut kept);
    assert_eq!(kept.heads[&1], [GET, GET]);
    let Ledger { plaintext, stream, .. } = *pipeline.ledger();
    assert_eq!((plaintext.delivered_packets, plaintext.used_bytes, plaintext.gaps), (3, 36, 0));
    assert_eq!(stream.delivered_packets, 3);
    check(&pipeline);
    pipeline.finish(&mut kept);
    check(&pipeline);
    assert_eq!((kept.opened, kept.closed), (1, vec![Closed::Finished]));
}

#[test]
fn plaintext_without_an_interface_has_that_of_the_packets() {
    let hello = hello();
    let packet = Segment { time_ns: 10, interface_index: 7, ..segment(1, 0, &hello) };
    let unknown = |time_ns, offset| {
        let it = plaintext(offset, GET);
        Plaintext { segment: Segment { time_ns, interface_index: 0, ..it.segment }, ..it }
    };
    let (mut pipeline, mut kept) = pipeline();
    pipeline.segment(&packet, &mut kept);
    pipeline.read(&unknown(20, 0), &mut kept);
    assert!(
        kept.heads[&1].len() == 1 && kept.interfaces.iter().all(|index| *index == 7),
        "{:?}",
        kept.interfaces
    );
    // From the rings of two CPUs: the plaintext may be read first, and the packet is still the earlier one.
    let (mut pipeline, mut kept) = self::pipeline();
    pipeline.read(&unknown(20, 0), &mut kept);
    pipeline.segment(&packet, &mut kept);
    pipeline.read(&unknown(30, 18), &mut kept);
    assert_eq!((kept.heads[&1].len(), kept.interfaces.last()), (2, Some(&7)));
}

#[test]
fn what_is_cut_or_lost_in_a_body_is_a_gap_of_its_length() {
    let (mut pipeline, mut kept) = greeted();
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
    let len = u32::try_from(post.len()).unwrap();
    pipeline.read(&plaintext(0, post), &mut kept);
    // 400 bytes, of which 100 are there; then 600 that are lost.
    let cut = plaintext(len, &[b'x'; 100]);
    pipeline.read(&Plaintext { segment: Segment { payload_len: 400, ..cut.segment }, ..cut }, &mut kept);
    pipeline.read(&plaintext(len + 1000, GET), &mut kept);
    assert_eq!(kept.heads[&1], [&post[..]]);
    pipeline.tick(3_000_000_000, &mut kept);
    assert_eq!(kept.heads[&1], [&post[..], GET]);
    let Ledger { plaintext, http, .. } = *pipeline.ledger();
    assert_eq!((plaintext.cut_bytes, plaintext.gap_bytes, http.resyncs), (300, 900, 0));
    check(&pipeline);
}

#[test]
fn only_tls_that_is_not_read_counts_as_what_is_not_http() {
    let (mut pipeline, mut kept) = greeted();
    pipeline.read(&plaintext(0, GET), &mut kept);
    pipeline.finish(&mut kept);
    assert_eq!(pipeline.ledger().http.not_http, 0);
    // Whichever came first.
    let (mut pipeline, mut kept) = super::pipeline();
    pipeline.read(&plaintext(0, GET), &mut kept);
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    pipeline.segment(&segment(1, 1, &hello()), &mut kept);
    pipeline.finish(&mut kept);
    assert_eq!(pipeline.ledger().http.not_http, 0);
    let (mut pipeline, mut kept) = greeted();
    pipeline.finish(&mut kept);
    assert_eq!(pipeline.ledger().http.not_http, 1);
}

#[test]
fn a_connection_ends_when_the_server_has_read_it() {
    let (mut pipeline, mut kept) = greeted();
    pipeline.read(&plaintext(0, &GET[..5]), &mut kept);
    let fin = 1 + u32::try_from(hello().len()).unwrap();
    pipeline.segment(&Segment { flags: FIN | ACK, ..segment(1, fin, b"") }, &mut kept);
    assert_eq!(kept.closed, []);
    pipeline.read(&plaintext(5, &GET[5..]), &mut kept);
    pipeline.read(&end(18), &mut kept);
    assert_eq!((kept.heads[&1].len(), &kept.closed[..]), (1, &[Closed::Fin][..]));
    check(&pipeline);
}

#[test]
fn plaintext_that_comes_after_the_end_opens_the_connection_again() {
    let (mut pipeline, mut kept) = greeted();
    let fin = 1 + u32::try_from(hello().len()).unwrap();
    pipeline.segment(&Segment { flags: FIN | ACK, ..segment(1, fin, b"") }, &mut kept);
    assert_eq!(kept.closed, [Closed::Fin]);
    pipeline.read(&plaintext(0, GET), &mut kept);
    pipeline.read(&plaintext(18, &GET[..9]), &mut kept);
    assert_eq!((kept.heads[&1].len(), kept.closed.len(), kept.opened), (1, 1, 2));
    // The end of plaintext was lost.
    pipeline.tick(Limits::default().plaintext_ns, &mut kept);
    assert_eq!((kept.closed.len(), kept.incomplete, pipeline.connections()), (2, 1, 0));
    check(&pipeline);
    pipeline.read(&end(27), &mut kept);
    assert_eq!((pipeline.connections(), kept.opened), (0, 2));
}

#[test]
fn plaintext_may_come_before_the_packets() {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.read(&plaintext(0, GET), &mut kept);
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 5_000_000, b"") }, &mut kept);
    pipeline.segment(&segment(1, 5_000_001, &hello()), &mut kept);
    assert_eq!(kept.heads[&1].len(), 1);
    assert_eq!((pipeline.ledger().connections, pipeline.ledger().stream.out_of_window_bytes), (1, 0));
    check(&pipeline);
}

#[test]
fn ciphertext_of_a_joined_connection_is_not_searched() {
    let (mut pipeline, mut kept) = pipeline();
    // The middle of a record.
    pipeline.segment(&segment(1, 0, &[0xfe; 900]), &mut kept);
    pipeline.tick(1_000_000_000, &mut kept);
    let joined = plaintext(0, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    let joined = Plaintext { segment: Segment { start: Start::Unknown, ..joined.segment }, ..joined };
    pipeline.read(&joined, &mut kept);
    pipeline.tick(2_000_000_000, &mut kept);
    pipeline.segment(&segment(1, 900, b"\nGET /b HTTP/1.1\r\nhost: b\r\n\r\n"), &mut kept);
    assert_eq!(kept.heads[&1].len(), 1);
    check(&pipeline);
    pipeline.finish(&mut kept);
    assert_eq!((&kept.not_http[..], pipeline.ledger().http.not_http), (&[][..], 0));
}

/// Takes every window.
#[derive(Default)]
struct Windows {
    packets: Vec<Bypass>,
    plaintext: Vec<Bypass>,
}

impl BypassTable for Windows {
    fn set(&mut self, _: &FlowKey, bypass: &Bypass) -> bool {
        self.packets.push(*bypass);
        true
    }

    fn clear(&mut self, _: &FlowKey, _: &Bypass) {}

    fn set_plaintext(&mut self, _: &FlowKey, bypass: &Bypass) -> bool {
        self.plaintext.push(*bypass);
        true
    }
}

#[test]
fn the_packets_of_tls_are_bypassed_and_so_are_long_bodies_in_it() {
    let mut pipeline = Pipeline::with_bypass(Limits::default(), 0, Windows::default());
    let mut kept = RecordingSink::default();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    pipeline.segment(&segment(1, 1, &hello()), &mut kept);
    assert_eq!((pipeline.bypass.packets.len(), pipeline.bypass.plaintext.len()), (1, 0));
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
    let len = u32::try_from(post.len()).unwrap();
    pipeline.read(&plaintext(0, post), &mut kept);
    assert_eq!(pipeline.bypass.plaintext, [Bypass::new(1, Seq(len), 1_000_000)]);
    pipeline.read(&plaintext(len + 1_000_000, GET), &mut kept);
    assert_eq!(kept.heads[&1].len(), 2);
    assert_eq!((pipeline.ledger().plaintext.bypassed_bytes, kept.gaps), (1_000_000, 0));
}

#[test]
fn a_refused_body_is_no_body() {
    let (mut pipeline, mut kept) = greeted();
    let put = b"PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 18\r\n\r\n";
    let len = u32::try_from(put.len()).unwrap();
    pipeline.read(&plaintext(0, put), &mut kept);
    pipeline.read(&plaintext(len, GET), &mut kept);
    assert_eq!(kept.heads[&1], [&put[..], GET]);
}
