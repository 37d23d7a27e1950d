//! TLS records. A `ClientHello` is the same however it is cut, and the reader's memory is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_userspace::tls::{ClientHello, HelloReader};

fn read(bytes: &[u8], step: usize) -> Option<ClientHello> {
    let mut reader = HelloReader::default();
    bytes.chunks(step.max(1)).find_map(|piece| {
        let hello = reader.read(piece);
        assert!(reader.memory() <= (32 << 10) + 16);
        hello
    })
}

fuzz_target!(|data: &[u8]| {
    if let [step, bytes @ ..] = data {
        assert_eq!(read(bytes, bytes.len()), read(bytes, usize::from(*step)));
    }
});
