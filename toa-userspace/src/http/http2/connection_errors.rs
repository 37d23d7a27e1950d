//! Errors of a client that end its connection (RFC 9113 section 5.4.1): a server that notices one serves nothing after it.
//!
//! They are judged from what the client sends. So a window that overflows is an error for certain only before the server
//! can have sent anything, and a limit only until the client has acknowledged the server's settings, which may raise it. What
//! is an error of a stream alone ends nothing.

use super::frame::{FrameHeader, Kind, USUAL_PAYLOAD_BYTES};

/// The window of a connection at its start, in bytes (RFC 9113 section 6.9.2).
const FIRST_WINDOW_BYTES: u32 = (1 << 16) - 1;

/// The largest window, in bytes (RFC 9113 section 6.9.1).
const MAX_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// The largest value of `SETTINGS_MAX_FRAME_SIZE`, in bytes (RFC 9113 section 6.5.2).
const MAX_PAYLOAD_BYTES: u32 = (1 << 24) - 1;

/// Length of a setting, in bytes (RFC 9113 section 6.5.1).
const SETTING_BYTES: usize = 6;

/// Watches for errors.
#[derive(Debug)]
pub(super) struct ConnectionErrors {
    is_seen: bool,
    /// Whether the client's settings come next (RFC 9113 section 3.4).
    expects_settings: bool,
    /// Whether the server cannot have raised a limit.
    has_usual_limits: bool,
    /// The window for what the server sends, in bytes, until it can have sent anything.
    window_bytes: Option<u32>,
    /// The beginning of a value that is to be judged.
    value: [u8; SETTING_BYTES],
    value_len: usize,
    /// Length of the values in the current payload; 0 if there are none.
    value_bytes: usize,
}

impl ConnectionErrors {
    /// Begins after the preface. After an upgrade, the server answers a request already.
    pub(super) fn new(is_upgraded: bool) -> Self {
        Self {
            is_seen: false,
            expects_settings: true,
            has_usual_limits: true,
            window_bytes: (!is_upgraded).then_some(FIRST_WINDOW_BYTES),
            value: [0; SETTING_BYTES],
            value_len: 0,
            value_bytes: 0,
        }
    }

    /// Returns whether there was one.
    pub(super) fn are_seen(&self) -> bool {
        self.is_seen
    }

    /// Takes into account that frames were not seen.
    pub(super) fn lose(&mut self) {
        (self.expects_settings, self.has_usual_limits, self.window_bytes) = (false, false, None);
        self.leave_payload();
    }

    /// Leaves the rest of the current payload out.
    pub(super) fn leave_payload(&mut self) {
        self.value_bytes = 0;
    }

    /// Returns whether the next bytes of the current payload are to be judged.
    pub(super) fn need_payload(&self) -> bool {
        self.value_bytes > 0
    }

    /// Notes one.
    pub(super) fn note(&mut self) {
        self.is_seen = true;
    }

    /// Judges the header of a frame. `is_idle` says whether its stream has not begun.
    pub(super) fn begin_frame(&mut self, header: FrameHeader, is_idle: bool) {
        let FrameHeader { length, kind, stream_id, .. } = header;
        let (of_connection, of_client) = (stream_id == 0, stream_id & 1 == 1);
        // Streams with an even identifier are the server's, which may have reserved them (RFC 9113 section 5.1.1).
        let is_idle = is_idle && of_client;
        let is_wrong = match kind {
            Kind::Data => !of_client || is_idle || (header.is_padded() && length == 0),
            Kind::Headers => !of_client,
            // The wrong length is an error of the stream, for which nginx closes the connection.
            Kind::Priority => of_connection || length != 5,
            Kind::ResetStream => of_connection || is_idle || length != 4,
            Kind::Settings if header.is_answer() => !of_connection || length != 0,
            Kind::Settings => !of_connection || !length.is_multiple_of(6),
            Kind::Ping => !of_connection || length != 8,
            Kind::GoAway => !of_connection || length < 8,
            Kind::WindowUpdate => is_idle || length != 4,
            // Wrong ones end what can be read, or mean something only to servers that know them.
            Kind::PushPromise | Kind::Continuation | Kind::PriorityUpdate | Kind::Other => false,
        };
        let are_settings = kind == Kind::Settings && !header.is_answer();
        let is_too_long = self.has_usual_limits && length > USUAL_PAYLOAD_BYTES;
        self.is_seen |= is_wrong || is_too_long || (self.expects_settings && !are_settings);
        self.expects_settings = false;
        self.has_usual_limits &= kind != Kind::Settings || are_settings;
        if kind == Kind::Headers {
            self.window_bytes = None;
        }
        self.value_len = 0;
        self.value_bytes = match kind {
            Kind::Data if header.is_padded() => 1,
            Kind::WindowUpdate => 4,
            Kind::Settings => SETTING_BYTES,
            _ => 0,
        };
    }

    /// Judges the next bytes of the payload of a frame.
    pub(super) fn payload(&mut self, header: FrameHeader, bytes: &[u8]) {
        for byte in bytes {
            if self.value_bytes == 0 {
                return;
            }
            if let Some(place) = self.value.get_mut(self.value_len) {
                *place = *byte;
            }
            self.value_len = self.value_len.saturating_add(1);
            if self.value_len == self.value_bytes {
                self.value_len = 0;
                self.judge(header);
            }
        }
    }

    /// Judges the value that has arrived.
    fn judge(&mut self, header: FrameHeader) {
        let [first, second, third, fourth, fifth, sixth] = self.value;
        let is_wrong = match header.kind {
            Kind::Settings => {
                let value = u32::from_be_bytes([third, fourth, fifth, sixth]);
                match u16::from_be_bytes([first, second]) {
                    // ENABLE_PUSH, INITIAL_WINDOW_SIZE and MAX_FRAME_SIZE.
                    2 => value > 1,
                    4 => value > MAX_WINDOW_BYTES,
                    5 => !(USUAL_PAYLOAD_BYTES..=MAX_PAYLOAD_BYTES).contains(&value),
                    _ => false,
                }
            }
            Kind::WindowUpdate => {
                self.value_bytes = 0;
                // The first bit is reserved.
                let increment = u32::from_be_bytes([first, second, third, fourth]) & MAX_WINDOW_BYTES;
                if header.stream_id == 0 {
                    self.window_bytes = self.window_bytes.map(|window| window.saturating_add(increment));
                }
                // As an increment of a stream, zero is an error of that, for which nginx closes the connection as well.
                increment == 0 || self.window_bytes.is_some_and(|window| window > MAX_WINDOW_BYTES)
            }
            _ => {
                self.value_bytes = 0;
                u32::from(first) >= header.length
            }
        };
        self.is_seen |= is_wrong;
    }

    /// Judges a table for header compression that is larger than servers allow unless they say so (RFC 7541 section 6.3).
    pub(super) fn enlarge_table(&mut self) {
        self.is_seen |= self.has_usual_limits;
    }
}
