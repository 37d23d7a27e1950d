//! How a run was started, as it tells other processes.

use serde::{Deserialize, Serialize};
use toa_common::maps::SETTINGS_BYTES;

/// How a run was started. It is in the map `SETTINGS` as JSON, padded with NUL.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Settings {
    /// The command and its arguments.
    pub command_line: Vec<String>,
    /// Who started it.
    pub user: User,
    /// The TCP options that are TOA.
    pub toa: Vec<Layout>,
    /// Which TOA of a packet is used: `first` or `last`.
    pub toa_pick: String,
    /// The sources whose TOA is trusted; none if every one is.
    pub balancers: Vec<String>,
    /// The server's ports; none if every one is followed.
    pub server_ports: Vec<u16>,
    /// Whether connections that were open before are followed, too.
    pub existing: bool,
    /// Whether connections without TOA are followed, too.
    pub any_flow: bool,
    /// Whether the plaintext of TLS connections is read, too.
    pub tls: bool,
    /// The output format.
    pub output: String,
    /// Whether a list was too long to be told whole.
    pub truncated: bool,
}

/// A user.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct User {
    /// The ID.
    pub id: u32,
    /// The name, if it has one.
    pub name: Option<String>,
}

/// A kind and length of TCP options.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Layout {
    /// The kind.
    pub kind: u8,
    /// The length in bytes.
    pub length: u8,
}

impl Settings {
    /// Returns the value for the map. Lists that are too long for it are shortened.
    pub fn to_bytes(&self) -> Box<[u8; SETTINGS_BYTES]> {
        let mut bytes = Box::new([0; SETTINGS_BYTES]);
        let mut shortened = self.clone();
        loop {
            let json = serde_json::to_vec(&shortened).unwrap_or_default();
            if let Some(place) = bytes.get_mut(..json.len()) {
                place.copy_from_slice(&json);
                return bytes;
            }
            // Terminates: without lists, it fits.
            shortened.truncated = true;
            let Self { command_line, balancers, server_ports, .. } = &mut shortened;
            command_line.truncate(command_line.len() / 2);
            balancers.truncate(balancers.len() / 2);
            server_ports.truncate(server_ports.len() / 2);
        }
    }

    /// Reads a value of the map.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes.split(|byte| *byte == 0).next()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let settings = Settings {
            command_line: ["toa-tc", "attach", "eth\0", "ü"].map(str::to_owned).into(),
            user: User { id: 7, name: Some("team".to_owned()) },
            toa: vec![Layout { kind: 254, length: 8 }],
            toa_pick: "first".to_owned(),
            balancers: vec!["10.9.0.0/24".to_owned()],
            server_ports: vec![80],
            existing: true,
            any_flow: false,
            tls: true,
            output: "text".to_owned(),
            truncated: false,
        };
        assert_eq!(Settings::from_bytes(&settings.to_bytes()[..]), Some(settings));
        assert_eq!(Settings::from_bytes(&[0; 8]), None);
        assert_eq!(Settings::from_bytes(&[]), None);
    }

    #[test]
    fn what_is_too_long_is_shortened() {
        let long = Settings {
            command_line: vec!["\x1b".repeat(SETTINGS_BYTES)],
            balancers: vec!["10.9.0.0/24".to_owned(); 10_000],
            server_ports: (0..=u16::MAX).collect(),
            ..Settings::default()
        };
        let read = Settings::from_bytes(&long.to_bytes()[..]).unwrap();
        assert!(read.truncated && read.command_line.is_empty() && !read.balancers.is_empty());
        assert_eq!(read.server_ports[..3], [0, 1, 2]);
    }
}
