//! Segments that are not the client's own, and unusual ones of its own that a server must take or refuse.

use fastrand::Rng;
use toa_packets::{
    builder::{
        PacketBuilder,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    toa_option::toa_option,
};

use crate::peers::raw_client::RawClient;

/// A way to forge a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forgery {
    /// Payload with a wrong checksum.
    WrongChecksum,
    /// A RST, FIN or SYN with a wrong checksum.
    WrongChecksumFlag,
    /// Payload without the ACK flag.
    NoAck,
    /// Payload with an MD5 signature (RFC 2385).
    Md5,
    /// Payload with TCP-AO (RFC 5925).
    AuthenticationOption,
    /// Payload with a timestamp from long ago (RFC 7323 section 5).
    OldTimestamp,
    /// Payload in a frame for another station.
    OtherStation,
    /// Payload in a packet whose IP header gives it no length.
    NoLength,
    /// Payload far outside the window.
    FarAway,
    /// Payload inside of the largest window, but outside the server's.
    Ahead,
    /// Payload where other bytes were acknowledged.
    Again,
    /// A RST that is not at the next byte.
    StrayReset,
    /// A FIN before or after the window.
    StrayFin,
    /// A SYN at another number.
    Syn,
    /// A SYN at another number that names another client.
    SynOfAnother,
    /// A SYN at another number with payload.
    SynWithPayload,
    /// A SYN-ACK.
    SynAck,
    /// A keep-alive probe.
    KeepAlive,
    /// A keep-alive probe with a byte of garbage.
    KeepAliveByte,
    /// A bare ACK that names another client, with a wrong checksum.
    AckOfAnother,
    /// A bare ACK at an old number.
    OldAck,
    /// Payload that acknowledges what was never sent. The server's socket tells.
    FutureAck,
    /// Payload that acknowledges what was acknowledged long ago. The server's socket tells.
    AncientAck,
}

use Forgery::{
    AckOfAnother, Again, Ahead, AncientAck, AuthenticationOption, FarAway, FutureAck, KeepAlive,
    KeepAliveByte, Md5, NoAck, NoLength, OldAck, OldTimestamp, OtherStation, StrayFin, StrayReset, Syn,
    SynAck, SynOfAnother, SynWithPayload, WrongChecksum, WrongChecksumFlag,
};

/// All.
const ALL: [Forgery; 23] = [
    WrongChecksum,
    WrongChecksumFlag,
    NoAck,
    Md5,
    AuthenticationOption,
    OldTimestamp,
    OtherStation,
    NoLength,
    FarAway,
    Ahead,
    Again,
    StrayReset,
    StrayFin,
    Syn,
    SynOfAnother,
    SynWithPayload,
    SynAck,
    KeepAlive,
    KeepAliveByte,
    AckOfAnother,
    OldAck,
    FutureAck,
    AncientAck,
];

/// A client that other TOA name. The tool watches it.
pub const ANOTHER: ([u8; 4], u16) = ([203, 0, 113, 250], 1);

/// What the tool can know of a connection.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Knowledge {
    /// Whether its client is watched.
    pub is_watched: bool,
    /// Whether a packet has named it.
    pub is_marked: bool,
    /// Whether the server's kernel discards segments with TCP-AO. One that does not know it accepts them.
    pub discards_signed: bool,
    /// Whether the server has its first bytes.
    pub has_begun: bool,
}

impl Forgery {
    /// Returns any that can be told with this knowledge.
    pub fn told(knowledge: Knowledge, random: &mut Rng) -> Self {
        let Knowledge { is_watched, is_marked, has_begun, discards_signed } = knowledge;
        loop {
            let forgery = random.choice(ALL).unwrap_or(KeepAlive);
            let can_be_told = match forgery {
                // The kernel program remembers no connection of a client that is not watched, so it learns this one.
                AckOfAnother => is_watched && is_marked,
                AuthenticationOption => discards_signed,
                // Nor does it read the timestamps of SYNs and bare ACKs. And until it has an ACK, the server resets the
                // connection when another SYN comes.
                OldTimestamp | Syn | SynOfAnother | SynWithPayload | SynAck | FutureAck | AncientAck => {
                    has_begun
                }
                _ => true,
            };
            if can_be_told {
                return forgery;
            }
        }
    }

    /// Returns the packet, and its flags and number. `tip` is the sequence number that the server expects next, `bytes`
    /// what to make it believe.
    pub fn packet(
        self,
        client: &RawClient<'_>,
        tip: u32,
        bytes: &[u8],
        random: &mut Rng,
    ) -> (PacketBuilder, u8, u32) {
        let data = ACK | PSH;
        let far = 20_000_000 + random.u32(0..300_000_000);
        let far = if random.bool() { far } else { far.wrapping_neg() };
        let received = client.received;
        let at = |flags: u8, seq: u32, payload: &[u8]| (client.packet(flags, seq, payload), flags, seq);
        let with = |(packet, flags, seq): (PacketBuilder, u8, u32), options: &[u8]| {
            let options = [&client.options(flags, client.timestamp), options].concat();
            (packet.options(&options), flags, seq)
        };
        let wrong = |(packet, flags, seq): (PacketBuilder, u8, u32)| (packet.wrong_checksum(), flags, seq);
        match self {
            WrongChecksum => wrong(at(data, tip, bytes)),
            WrongChecksumFlag => {
                let flags = random.choice([RST | ACK, RST, FIN | ACK, SYN]).unwrap_or(RST);
                wrong(at(flags, tip, &[]))
            }
            NoAck => at(random.choice([0, PSH, FIN]).unwrap_or(0), tip, bytes),
            Md5 => with(at(data, tip, bytes), &[&[1, 1, 19, 18][..], &[7; 16]].concat()),
            AuthenticationOption => with(at(data, tip, bytes), &[&[29, 16, 1, 1][..], &[7; 12]].concat()),
            OldTimestamp => {
                let old =
                    client.timestamp.map(|timestamp| timestamp.wrapping_sub(random.u32(1000..2_000_000_000)));
                let (packet, flags, seq) = at(data, tip, if old.is_some() { bytes } else { &[] });
                (packet.options(&client.options(flags, old)), flags, seq)
            }
            OtherStation => {
                let (packet, flags, seq) = at(data, tip, bytes);
                (packet.station([2, 0, 0, 0, 0, 9]), flags, seq)
            }
            NoLength => {
                let (packet, flags, seq) = at(data, tip, bytes);
                (packet.ip_length(0), flags, seq)
            }
            FarAway => at(data, tip.wrapping_add(far), bytes),
            Ahead => at(data, tip.wrapping_add(random.u32(100_000..10_000_000)), bytes),
            Again => {
                let back = random.u32(1..400).min(tip.wrapping_sub(client.isn).wrapping_sub(1));
                let bytes = bytes.get(..bytes.len().min(usize::try_from(back).unwrap_or(0)));
                at(data, tip.wrapping_sub(back), bytes.unwrap_or_default())
            }
            StrayReset => {
                let near = random.u32(1..60_000);
                let offset = random.choice([near, near.wrapping_neg(), far]).unwrap_or(far);
                at(RST | (ACK * random.u8(0..2)), tip.wrapping_add(offset), &[])
            }
            StrayFin => {
                let before = random.u32(2..5000).wrapping_neg();
                let offset = random.choice([before, far]).unwrap_or(far);
                at(FIN | ACK, tip.wrapping_add(offset), &[])
            }
            Syn => at(SYN, random.u32(..), &[]),
            SynOfAnother => with(at(SYN, random.u32(..), &[]), &toa_option(ANOTHER.into())),
            SynWithPayload => at(SYN, random.u32(..), bytes),
            SynAck => at(SYN | ACK, tip.wrapping_add(random.u32(0..1000)), bytes),
            KeepAlive => at(ACK, tip.wrapping_sub(1), &[]),
            KeepAliveByte => at(ACK, tip.wrapping_sub(1), b"\0"),
            AckOfAnother => wrong(with(at(ACK, tip, &[]), &toa_option(ANOTHER.into()))),
            OldAck => at(ACK, tip.wrapping_sub(random.u32(2..5000)), &[]),
            FutureAck | AncientAck => {
                let (packet, flags, seq) = at(data, tip, bytes);
                let off = random.u32(100_000_000..1_000_000_000);
                let ack =
                    if self == FutureAck { received.wrapping_add(off) } else { received.wrapping_sub(off) };
                (packet.numbers(seq, ack), flags, seq)
            }
        }
    }
}
