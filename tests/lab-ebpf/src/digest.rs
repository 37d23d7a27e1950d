//! A digest of a packet's classification: one number, so that a kernel program can return it to the tests.

use toa_common::{address::Address, follow::Decision, inspect::Inspected, skip_reason::SkipReason};

/// Returns the digest of a classified packet, or the number of the reason why it was skipped.
pub fn digest(result: Result<(&Inspected, Decision), SkipReason>) -> u32 {
    match result {
        Ok((inspected, decision)) => digest_of(inspected, decision),
        Err(reason) => reason as u32,
    }
}

/// Returns a number that changes with what was found and decided, except for collisions. It is never a reason's number.
#[inline(always)]
pub fn digest_of(inspected: &Inspected, decision: Decision) -> u32 {
    let Inspected { tcp, toa, walk } = inspected;
    let mut digest = Digest(0x9e37_79b9_7f4a_7c15);
    digest.mix_address(tcp.key.source);
    digest.mix_address(tcp.key.destination);
    digest.mix(tcp.key.ports);
    digest.mix(tcp.seq.0);
    digest.mix(u32::from(tcp.flags));
    digest.mix(tcp.network_offset);
    digest.mix(tcp.transport_offset);
    digest.mix(tcp.options_len);
    digest.mix(tcp.payload_len);
    digest.mix_address(toa.client.address);
    digest.mix(u32::from(toa.client.port_be));
    digest.mix(u32::from(toa.kind) << 8 | u32::from(toa.length));
    digest.mix(
        u32::from(walk.is_signed()) << 3
            | u32::from(walk.is_fast_open()) << 2
            | u32::from(walk.has_hit()) << 1
            | u32::from(walk.has_several()),
    );
    digest.mix(walk.unselected());
    digest.mix(walk.hits().next().unwrap_or(0));
    digest.mix(walk.stop() as u32);
    digest.mix(walk.end());
    digest.mix(decision.action as u32);
    digest.mix(
        u32::from(decision.completed) << 2
            | u32::from(decision.conflict) << 1
            | u32::from(decision.confirmed),
    );
    // The top bit distinguishes a digest from a reason.
    (digest.0 >> 32) as u32 | 1 << 31
}

struct Digest(u64);

impl Digest {
    /// Mixes in the four words without a loop: the verifier of Linux 6.1 rejects a loop that is entered in its middle.
    #[inline(always)]
    fn mix_address(&mut self, Address([a, b, c, d]): Address) {
        self.mix(a);
        self.mix(b);
        self.mix(c);
        self.mix(d);
    }

    #[inline(always)]
    fn mix(&mut self, word: u32) {
        self.0 = (self.0 ^ u64::from(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 ^= self.0 >> 29;
    }
}
