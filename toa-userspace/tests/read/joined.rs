//! Captures that begin in the middle of connections: what only looks like a start is not believed.

use serde_json::Value;

use super::{ACK, File, Result, SYN, TOA, block, header, packet, text};

const PHANTOM: &[u8] = b"GET /phantom HTTP/1.1\r\nHost: a\r\n\r\n";

/// Returns what `read` prints of the connection's segments: target, and `~` before it if it was found by searching. Each
/// has a payload and whether it has a TOA.
fn printed(arguments: &[&str], first: &[Vec<u8>], segments: &[(&[u8], bool)]) -> Result<Vec<String>> {
    let mut bytes = header();
    bytes.extend(first.iter().flat_map(|packet| block(packet)));
    let mut seq = 10_u32;
    for (payload, is_marked) in segments {
        let options = if *is_marked { &TOA[..] } else { &[] };
        bytes.extend(block(&packet(7, seq, ACK, options, payload)));
        seq += u32::try_from(payload.len())?;
    }
    let output = File::new("joined", &bytes)?.read(&[&["-o", "json"], arguments].concat())?;
    let lines = text(&output.stdout);
    let lines: std::result::Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    let describe = |line: &Value| {
        let mark = if line["resynchronized"] == true { "~" } else { "" };
        Some(format!("{mark}{}", line.pointer("/url/original")?.as_str()?))
    };
    Ok(lines?.iter().filter_map(describe).collect())
}

#[test]
fn a_capture_that_begins_in_a_body_has_no_request_without_a_mark() -> Result {
    let chunk = [b"23\r\n", PHANTOM, b"\r\n"].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0a\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01aabcde";
    let starts = [
        PHANTOM.to_vec(),
        [PHANTOM, PHANTOM].concat(),
        [b"\r\n", PHANTOM].concat(),
        [&chunk[..], PHANTOM].concat(),
        [b"PROXY TCP4 192.0.2.1 10.9.0.2 1 80\r\n", PHANTOM].concat(),
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\x09\0\x02\0\x01\0\x50"[..], PHANTOM]
            .concat(),
        preface.to_vec(),
        b"FOO /phantom HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET /phantom\r\n".to_vec(),
    ];
    for start in &starts {
        for arguments in [&["--any-flow"][..], &["--any-flow", "--server-port", "80"]] {
            for is_marked in [false, true] {
                let mut segments = vec![(&start[..], false)];
                segments.extend([(PHANTOM, is_marked); 3]);
                let printed = printed(arguments, &[], &segments)?;
                let what = || format!("{} {arguments:?}: {printed:?}", start.escape_ascii());
                assert!(printed.iter().all(|target| target.starts_with('~')), "{}", what());
                assert!(!printed.is_empty(), "{}", what());
            }
        }
    }
    Ok(())
}

#[test]
fn what_shows_the_start_leaves_no_mark() -> Result {
    let requests = [(PHANTOM, false), (PHANTOM, false)];
    let syn = packet(7, 9, SYN, &[], b"");
    assert_eq!(printed(&["--any-flow"], &[syn], &requests)?, ["/phantom"; 2]);
    assert_eq!(printed(&["--any-flow"], &[], &requests)?, ["~/phantom"; 2]);
    for arguments in [&["--any-flow"][..], &["--any"]] {
        // Balancers mark the first packets of a connection.
        assert_eq!(printed(arguments, &[], &[(PHANTOM, true), (PHANTOM, false)])?, ["/phantom"; 2]);
        let later = printed(arguments, &[], &[(b"name=value\n", false), (PHANTOM, true), (PHANTOM, false)])?;
        assert_eq!(later, ["~/phantom"; 2]);
    }
    Ok(())
}
