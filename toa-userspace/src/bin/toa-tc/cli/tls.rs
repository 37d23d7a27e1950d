//! The value of `--tls`.

use std::{path::PathBuf, str::FromStr};

/// Whose plaintext to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TlsServer {
    /// That of every process that listens.
    Listening,
    /// That of a process, and of others with the same library.
    Process(u32),
    /// That of every process with this library or program.
    File(PathBuf),
}

impl FromStr for TlsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(Self::Listening)
        } else if text.contains('/') {
            Ok(Self::File(text.into()))
        } else {
            let pid = text.parse().ok().filter(|pid| *pid != 0);
            pid.map(Self::Process).ok_or_else(|| {
                "neither the ID of a process nor a path with a slash, such as /usr/sbin/nginx".to_owned()
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_process_and_a_slash_makes_a_path() {
        assert_eq!("".parse(), Ok(TlsServer::Listening));
        assert_eq!("12".parse(), Ok(TlsServer::Process(12)));
        assert_eq!("./12".parse(), Ok(TlsServer::File("./12".into())));
        for wrong in ["0", "-1", "nginx", "4294967296"] {
            assert!(wrong.parse::<TlsServer>().is_err(), "{wrong}");
        }
    }
}
