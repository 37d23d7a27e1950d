//! The plaintext of TLS connections, as uprobes in the server's TLS library see it.
//!
//! The connection of a TLS object (`SSL` of OpenSSL and `BoringSSL`) is known from the call that gives it a descriptor
//! (`SSL_set_fd`), or, for objects that are older than the probes, from the descriptor that its own read uses. Each read
//! (`SSL_read`) of a followed connection is copied, up to [`MAX_PLAINTEXT_BYTES`], and handed to user space as a
//! [`PlaintextRecord`]. Its offset says how much was read before, so what is missing is a gap of known length.

use crate::{
    attribution::Attribution, flow_key::FlowKey, limits::MAX_PLAINTEXT_BYTES, record::Fields, seq::Seq,
};

/// One read of a followed connection, as its server got it. The bytes follow the record. The time is in nanoseconds of
/// `CLOCK_MONOTONIC`. 112 bytes; what [`crate::record::SegmentRecord`] has too is in the same place:
///
/// ```text
///  0 time                  8 generation         16 attribution        40 offset
/// 48 length               52 captured length    56 interface index    60 unused
/// 68 flags                70 unused             72 connection
/// 108 unused
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct PlaintextRecord {
    /// When the read returned.
    pub time_ns: u64,
    /// When the flow was learned.
    pub generation: u64,
    /// The flow's client, and where that was learned from.
    pub attribution: Attribution,
    /// Bytes that were read from the connection before, since it is known.
    pub offset: u64,
    /// Bytes that were read.
    pub len: u32,
    /// Bytes that follow this record.
    pub captured_len: u32,
    /// Index of the interface that received the flow's first packet; 0 if that is not known.
    pub interface_index: u32,
    #[doc(hidden)]
    pub _unused: [u32; 2],
    /// [`crate::flow::flags::PLAINTEXT`] and a set of [`flags`].
    pub flags: u16,
    #[doc(hidden)]
    pub _unused_too: u16,
    /// The connection.
    pub key: FlowKey,
    #[doc(hidden)]
    pub _padding: u32,
}

/// Bits of [`PlaintextRecord::flags`], and of [`Session::flags`].
pub mod flags {
    /// Nothing was read before the first record.
    pub const START_KNOWN: u16 = 1;
    /// The server has freed the connection's TLS object: nothing follows.
    pub const END: u16 = 1 << 1;
}

const _: () = assert!(size_of::<PlaintextRecord>() == PlaintextRecord::LEN);
const _: () = assert!(core::mem::offset_of!(PlaintextRecord, flags) == crate::record::FLAGS_OFFSET);
const _: () = assert!(core::mem::offset_of!(PlaintextRecord, key) == 72);

impl PlaintextRecord {
    /// Size of a record, in bytes.
    pub const LEN: usize = 112;

    /// Reads the record at the beginning of `sample`. Returns the record and the bytes that follow it, or `None` if the
    /// sample is shorter than a record.
    pub fn decode(sample: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, rest) = sample.split_first_chunk::<{ Self::LEN }>()?;
        let mut fields = Fields::new(bytes);
        let record = Self {
            time_ns: u64::from_ne_bytes(fields.take()?),
            generation: u64::from_ne_bytes(fields.take()?),
            attribution: Attribution::decode(&fields.take()?),
            offset: u64::from_ne_bytes(fields.take()?),
            len: u32::from_ne_bytes(fields.take()?),
            captured_len: u32::from_ne_bytes(fields.take()?),
            interface_index: u32::from_ne_bytes(fields.take()?),
            _unused: [u32::from_ne_bytes(fields.take()?), u32::from_ne_bytes(fields.take()?)],
            flags: u16::from_ne_bytes(fields.take()?),
            _unused_too: u16::from_ne_bytes(fields.take()?),
            key: FlowKey::decode(&fields.take()?),
            _padding: 0,
        };
        Some((record, rest))
    }

    /// Returns whether a flag is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns the number of the first byte, as if it were a sequence number that begins at 0.
    #[inline(always)]
    pub fn seq(offset: u64) -> Seq {
        Seq(offset as u32)
    }
}

/// Number of bytes of a record with the most plaintext.
pub const MAX_PLAINTEXT_SAMPLE_BYTES: usize = PlaintextRecord::LEN + MAX_PLAINTEXT_BYTES;

const _: () = assert!(MAX_PLAINTEXT_SAMPLE_BYTES <= crate::limits::MAX_SAMPLE_BYTES);

/// A TLS object of a process. It is a key of the map `SESSIONS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct SessionKey {
    /// The object's address.
    pub object: u64,
    /// The process.
    pub process: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

/// What is known of a TLS object. It is a value of the map `SESSIONS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Session {
    /// Its connection. All zero if that is no TCP connection of the run's network namespace.
    pub key: FlowKey,
    /// A set of [`flags`].
    pub flags: u32,
    /// Bytes that were read.
    pub offset: u64,
    /// What the map [`crate::flow_changes`] said when the connection was not followed: as long as it says the same, it is not.
    pub unfollowed: u64,
    /// The connection's entry in that map.
    pub slot: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

/// A call of a reading function that has not returned. It is a value of the map `CALLS`, whose key is the thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Call {
    /// The address of the TLS object.
    pub object: u64,
    /// Where the plaintext is written to.
    pub buffer: u64,
    /// Where the number of bytes is written to, or 0 if the function returns it.
    pub count: u64,
    /// The stack pointer at its entry.
    pub stack: u64,
    /// 1 as long as the object's connection is not known.
    pub is_unknown: u64,
}

/// Number of system calls by which servers read from a socket.
pub const READING_CALLS: usize = 4;

/// Where a kernel has the fields that lead from a descriptor to its connection, in bytes from the start of their structs,
/// and what else depends on kernel, machine and run. User space writes it before it loads the programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct TaskLayout {
    /// The first four arguments of a function in `pt_regs`.
    pub arguments: [u32; 4],
    /// A function's result in `pt_regs`.
    pub result: u32,
    /// The stack pointer in `pt_regs`.
    pub stack: u32,
    /// By how much the stack pointer is higher after a function's return than at its entry.
    pub return_bytes: u32,
    /// The numbers of the system calls by which servers read from a socket, whose first argument is the descriptor.
    pub reading_calls: [u32; READING_CALLS],
    /// `task_struct.files`.
    pub files: u32,
    /// `files_struct.fdt`.
    pub table: u32,
    /// `fdtable.max_fds`.
    pub table_len: u32,
    /// `fdtable.fd`.
    pub descriptors: u32,
    /// `file.private_data`.
    pub private_data: u32,
    /// `socket.file`.
    pub socket_file: u32,
    /// `socket.sk`.
    pub socket_sock: u32,
    /// `sock.sk_protocol`.
    pub protocol: u32,
    /// `sock_common.skc_family`.
    pub family: u32,
    /// `sock_common.skc_dport`.
    pub peer_port: u32,
    /// `sock_common.skc_num`.
    pub local_port: u32,
    /// `sock_common.skc_daddr`.
    pub peer_ipv4: u32,
    /// `sock_common.skc_rcv_saddr`.
    pub local_ipv4: u32,
    /// `sock_common.skc_v6_daddr`.
    pub peer_ipv6: u32,
    /// `sock_common.skc_v6_rcv_saddr`.
    pub local_ipv6: u32,
    /// `sock_common.skc_net`.
    pub net: u32,
    /// `net.ns.inum`.
    pub net_inode: u32,
    /// The inode of the run's network namespace.
    pub namespace: u32,
}

impl TaskLayout {
    /// The value in the object.
    pub const UNSET: Self = Self {
        arguments: [0; 4],
        result: 0,
        stack: 0,
        return_bytes: 0,
        reading_calls: [0; READING_CALLS],
        files: 0,
        table: 0,
        table_len: 0,
        descriptors: 0,
        private_data: 0,
        socket_file: 0,
        socket_sock: 0,
        protocol: 0,
        family: 0,
        peer_port: 0,
        local_port: 0,
        peer_ipv4: 0,
        local_ipv4: 0,
        peer_ipv6: 0,
        local_ipv6: 0,
        net: 0,
        net_inode: 0,
        namespace: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn every_field_is_read_from_its_place() {
        let sample: Vec<u8> = (0..116).collect();
        let (record, rest) = PlaintextRecord::decode(&sample).unwrap();
        let half = |at: u8| u16::from_ne_bytes([at, at + 1]);
        let word = |at: u8| u32::from_ne_bytes([at, at + 1, at + 2, at + 3]);
        assert_eq!(record.time_ns, u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(record.attribution.port_be, half(32));
        assert_eq!(record.offset, u64::from_ne_bytes([40, 41, 42, 43, 44, 45, 46, 47]));
        assert_eq!((record.len, record.captured_len), (word(48), word(52)));
        assert_eq!((record.interface_index, record.flags), (word(56), half(68)));
        assert_eq!(record.key.source.0, [word(72), word(76), word(80), word(84)]);
        assert_eq!((record.key.destination.0[0], record.key.ports), (word(88), word(104)));
        assert_eq!(rest, [112, 113, 114, 115]);
        assert_eq!(PlaintextRecord::decode(&sample[..111]), None);
    }

    #[test]
    fn it_is_told_from_a_segment() {
        let mut sample = [0; PlaintextRecord::LEN];
        assert!(!record::is_plaintext(&sample));
        sample[68..70].copy_from_slice(&crate::flow::flags::PLAINTEXT.to_ne_bytes());
        assert!(record::is_plaintext(&sample) && !record::is_plaintext(&sample[..69]));
    }
}
