//! Samples of a ring. Each is decoded or refused, and a decoded segment or plaintext lies within its sample.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_userspace::segment::{Segment, plaintext::Plaintext};

fuzz_target!(|sample: &[u8]| {
    if let Ok(segment) = Segment::decode(sample, 1) {
        assert!(segment.payload.len() <= sample.len());
        assert!(segment.payload.len() as u64 <= u64::from(segment.payload_len));
    }
    if let Ok(Plaintext { segment, .. }) = Plaintext::decode(sample, 1) {
        assert!(segment.payload.len() <= sample.len());
        assert!(segment.payload.len() as u64 <= u64::from(segment.payload_len));
    }
});
