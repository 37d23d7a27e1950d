//! The options that limit memory.

use serde_json::Value;

use super::{ACK, File, Result, SYN, TOA, block, header, packet, text};

/// Bytes of body in a packet.
const PIECE: usize = 50_000;

/// Returns the objects that are printed, the ledger last.
fn printed(file: &File, options: &[&str]) -> Result<Vec<Value>> {
    let output = file.read(&[&["-o", "json"], options].concat())?;
    Ok(text(&output.stdout).lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
}

fn capture(packets: &[Vec<u8>]) -> Result<File> {
    File::new(
        "limits",
        &[header()].into_iter().chain(packets.iter().map(|it| block(it))).flatten().collect::<Vec<_>>(),
    )
}

#[test]
fn a_head_is_shown_up_to_the_limit() -> Result {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {}\r\nx-team: a\r\n\r\n", "x".repeat(1000));
    let file = capture(&[packet(7, 9, SYN, &TOA, b""), packet(7, 10, ACK, &[], head.as_bytes())])?;
    let cause = |options: &[&str]| -> Result<Option<Value>> {
        let objects = printed(&file, options)?;
        let request =
            objects.iter().find(|object| object.get("event").is_some_and(|event| event == "request"));
        Ok(request.and_then(|request| request.pointer("/incomplete/cause")).cloned())
    };
    assert_eq!(cause(&[])?, None);
    assert_eq!(cause(&["--max-head", "1K"])?, Some("length".into()));
    Ok(())
}

#[test]
fn what_waits_for_missing_bytes_is_given_up_at_the_limit() -> Result {
    let count = 24;
    let head = format!("POST /late HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", count * PIECE);
    let (mut packets, piece) = (vec![packet(7, 9, SYN, &TOA, b"")], vec![b'x'; PIECE]);
    for number in 0..count {
        let seq = 10 + u32::try_from(head.len() + number * PIECE)?;
        packets.push(packet(7, seq, ACK, &[], &piece));
    }
    packets.push(packet(7, 10, ACK, &[], head.as_bytes()));
    let file = capture(&packets)?;
    let gaps = |options: &[&str]| -> Result<Option<u64>> {
        let objects = printed(&file, options)?;
        Ok(objects.last().and_then(|ledger| ledger.pointer("/gaps/count")?.as_u64()))
    };
    assert_eq!(gaps(&[])?, Some(0));
    assert_eq!(gaps(&["--max-memory", "1M"])?, Some(1));
    Ok(())
}
