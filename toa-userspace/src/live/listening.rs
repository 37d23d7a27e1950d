//! Responsible for which TCP ports servers of our network namespace listen on. Not responsible for who they are.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

/// A table of TCP sockets for each family.
const TABLES: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
/// `TCP_LISTEN` of `include/net/tcp_states.h`, as the tables have it.
const LISTEN: &str = "0A";

/// Those of `ports` that somebody listens on.
pub fn among(ports: &[u16]) -> io::Result<Vec<u16>> {
    let mut found = Vec::new();
    for path in TABLES {
        match File::open(path) {
            Ok(table) => found.extend(listening(BufReader::new(table))?),
            // A kernel without IPv6 has one table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ports.iter().copied().filter(|port| found.contains(port)).collect())
}

/// The ports of a table. The kernel lists those that listen before all others, which may be a million.
fn listening(table: impl BufRead) -> io::Result<Vec<u16>> {
    let mut ports = Vec::new();
    for line in table.lines().skip(1) {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if state != LISTEN {
            break;
        }
        let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        ports.extend(port);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0200090A:01BB 0100090A:92E8 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
";

    const TABLE_OF_IPV6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
";

    #[test]
    fn servers_are_told_from_connections() {
        assert_eq!(listening(TABLE.as_bytes()).unwrap(), [80, 8080]);
        assert_eq!(listening(TABLE_OF_IPV6.as_bytes()).unwrap(), [80]);
    }

    #[test]
    fn a_server_is_found() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        assert_eq!(among(&[0, port]).unwrap(), [port]);
    }
}
