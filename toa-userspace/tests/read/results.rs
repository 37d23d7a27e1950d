//! The options that choose what is printed of requests, and how.

use std::fs;

use super::{
    ACK, File, PRINTED, REQUEST, Result, SYN, TOA, block, block_at, capture, header, packet, text, tool,
};

/// A TOA of the client 203.0.113.9.
const OTHER: [u8; 8] = [254, 8, 0, 1, 203, 0, 113, 9];

fn request(path: &str, team: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: api.example\r\nx-team: {team}\r\nauthorization: Basic YTpi\r\n\r\n")
        .into_bytes()
}

/// Requests of two clients on three connections.
fn requests() -> Result<File> {
    let mut bytes = header();
    let mut seconds = 0;
    for (port, toa, requests) in [
        (7, &TOA, vec![request("/orders?id=1", "payments"), request("/orders?id=2", "payments")]),
        (8, &TOA, vec![request("/health", "search")]),
        (9, &OTHER, vec![request("/orders?id=3", "payments")]),
    ] {
        bytes.extend(block_at(seconds, &packet(port, 9, SYN, toa, b"")));
        let mut seq = 10;
        for request in requests {
            bytes.extend(block_at(seconds, &packet(port, seq, ACK, &[], &request)));
            seq += u32::try_from(request.len())?;
            seconds += 1;
        }
    }
    File::new("requests", &bytes)
}

fn printed(file: &File, options: &[&str]) -> Result<String> {
    let output = file.read(&[&["--any"], options].concat())?;
    let expected = if output.stdout.is_empty() { 3 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{output:?}");
    Ok(text(&output.stdout))
}

#[test]
fn one_line_has_the_fields_that_were_chosen() -> Result {
    let file = requests()?;
    let lines =
        printed(&file, &["-o", "oneline", "--header", "X-*", "--header", "authorization", "--time", "utc"])?;
    let first = "2026-11-22T07:43:27.500000Z 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:7) GET /orders?id=1 \
                 HTTP/1.1 x-team=payments authorization=\"Basic ••• (redacted)\"";
    assert_eq!(lines.lines().next(), Some(first));
    assert_eq!(lines.lines().count(), 4);
    let without = printed(&file, &["--not-header", "x-*", "-c", "1"])?;
    assert!(
        without.contains("\n    host: api.example\n    authorization:") && !without.contains("x-team"),
        "{without}"
    );
    Ok(())
}

#[test]
fn requests_are_chosen_by_a_regular_expression_and_counted_after_that() -> Result {
    let file = requests()?;
    for (regex, count) in
        [("^x-team: payments$", 3), ("id=[23]", 2), ("^GET /health ", 1), ("YTpi", 4), ("(?-u:\\xff)", 0)]
    {
        let lines = printed(&file, &["-o", "oneline", "--grep", regex])?;
        assert_eq!(lines.lines().count(), count, "{regex}: {lines}");
    }
    let lines = printed(&file, &["-o", "oneline", "--grep", "id=[23]", "-c", "2"])?;
    assert!(lines.contains("id=2") && lines.contains("id=3"), "{lines}");
    let shown = printed(&file, &["--grep", "YTpi"])?;
    assert!(!shown.contains("YTpi"), "{shown}");
    let events = printed(&file, &["-o", "json", "--grep", "health"])?;
    assert_eq!((events.lines().count(), events.matches(r#""event":"request""#).count()), (2, 1), "{events}");
    Ok(())
}

#[test]
fn each_combination_is_printed_once() -> Result {
    let file = requests()?;
    for (keys, paths) in [
        ("client", &["/orders?id=1", "/orders?id=3"][..]),
        ("header:x-team", &["/orders?id=1", "/health"]),
        ("client,header:x-team", &["/orders?id=1", "/health", "/orders?id=3"]),
        ("path", &["/orders?id=1", "/health"]),
    ] {
        let lines = printed(&file, &["-o", "oneline", "--once-by", keys])?;
        let found: Vec<_> = lines.lines().filter_map(|line| line.split(' ').rev().nth(1)).collect();
        assert_eq!(found, paths, "{keys}");
    }
    let lines = printed(&file, &["-o", "oneline", "--once-by", "client", "-c", "2"])?;
    assert_eq!(lines.lines().count(), 2);
    Ok(())
}

#[test]
fn tables_follow_the_requests() -> Result {
    let file = requests()?;
    let shown =
        printed(&file, &["-o", "oneline", "--summary-by", "client,header:x-team", "--summary-by", "path"])?;
    let (_, tables) = shown.split_once("\n\n").ok_or("no table")?;
    let expected = "\
client           header:x-team  requests  connections  first seen           last seen
120.120.111.111  payments       2         1            2026-11-22 07:43:27  2026-11-22 07:43:28
120.120.111.111  search         1         1            2026-11-22 07:43:29  2026-11-22 07:43:29
203.0.113.9      payments       1         1            2026-11-22 07:43:30  2026-11-22 07:43:30

path     requests  connections  first seen           last seen
/orders  3         2            2026-11-22 07:43:27  2026-11-22 07:43:30
/health  1         1            2026-11-22 07:43:29  2026-11-22 07:43:29
";
    assert_eq!(tables, expected);
    Ok(())
}

#[test]
fn the_end_is_a_sentence_and_more_with_v_and_nothing_with_q() -> Result {
    let file = requests()?;
    let said = |options: &[&str]| Ok::<_, Box<dyn std::error::Error>>(text(&file.read(options)?.stderr));
    let sentence = "toa-tc: 4 requests of 2 clients on 3 connections, nothing lost\n";
    assert_eq!(said(&["--any"])?, sentence);
    let all = said(&["--any", "-v"])?;
    assert!(all.starts_with(&format!("{sentence}toa-tc: packets: 4 matched = 4 delivered ")), "{all}");
    assert_eq!(said(&["--any", "-q"])?, "");
    Ok(())
}

#[test]
fn the_end_tells_how_many_requests_were_not_printed() -> Result {
    let file = requests()?;
    let options = ["--any", "--grep", "orders", "--once-by", "header:X-Team"];
    let shown = file.read(&options)?;
    let sentence = "toa-tc: 4 requests (1 hidden by --grep, 2 hidden by --once-by) of 2 clients on 3 connections, \
                    nothing lost\n";
    assert_eq!(text(&shown.stderr), sentence);
    let json = text(&file.read(&[&options[..], &["-o", "json"]].concat())?.stdout);
    let ledger = json.lines().last().unwrap_or_default();
    assert!(ledger.contains(r#""requests":4,"incomplete":0,"hidden":{"grep":1,"once_by":2},"#), "{ledger}");
    Ok(())
}

#[test]
fn names_of_fields_are_compared_in_any_case_and_shown_in_lower_case() -> Result {
    let mixed = b"GET / HTTP/1.1\r\nHOST: a\r\nX-Team: payments\r\n\r\n";
    let packets = [packet(7, 9, SYN, &TOA, b""), packet(7, 10, ACK, &[], mixed)];
    let file = File::new("mixed", &[header(), packets.map(|packet| block(&packet)).concat()].concat())?;
    for name in ["X-Team", "x-team", "X-TEAM"] {
        let by = format!("header:{name}");
        let options = ["-o", "oneline", "--header", name, "--once-by", &by, "--summary-by", &by];
        let shown = printed(&file, &options)?;
        assert!(shown.contains(" HTTP/1.1 x-team=payments\n\nheader:x-team  requests"), "{shown}");
        assert!(!printed(&file, &["--not-header", name])?.contains("x-team"), "{name}");
        assert!(!printed(&file, &["--redact", name])?.contains("payments"), "{name}");
    }
    Ok(())
}

#[test]
fn nothing_is_said_to_be_lost_or_not_if_results_could_not_be_written() -> Result {
    let file = requests()?;
    for options in [&["-o", "json"][..], &["-o", "oneline"], &["--grep", "none", "--summary-by", "path"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let output = tool().args(["read", "--any"]).args(options).arg(&file.0).stdout(full).output()?;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(", not all results were written") && !said.contains("nothing lost"), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("cannot write to stdout: No space left on device (os error 28)"), "{said}");
    }
    Ok(())
}

#[test]
fn a_keep_alive_probe_is_not_worth_a_line() -> Result {
    let request = block_at(20, &packet(7, 10, ACK, &[], REQUEST));
    let sentence = "toa-tc: 1 request of 1 client on 1 connection, nothing lost\n";
    // A byte of garbage, or none, before the next one, with the sequence number of the SYN.
    for payload in [&b"x"[..], b""] {
        let handshake = [packet(7, 9, SYN, &TOA, b""), packet(7, 10, ACK, &[], b"")];
        let probe = packet(7, 9, ACK, &[], payload);
        let blocks =
            [handshake.map(|packet| block(&packet)), [block_at(9, &probe), block_at(18, &probe)]].concat();
        let file = File::new("probe", &[header(), blocks.concat(), request.clone()].concat())?;
        let said = |options: &[&str]| Ok::<_, Box<dyn std::error::Error>>(text(&file.read(options)?.stderr));
        assert_eq!(said(&["--any"])?, sentence);
        assert_eq!(said(&["--any", "-q"])?, "");
        let used =
            format!("{} used, {} duplicate, 0 conflicting, 0 discarded", REQUEST.len(), 2 * payload.len());
        let all = said(&["--any", "-v"])?;
        assert!(all.contains(&used), "{payload:?}: {all}");
    }
    Ok(())
}

#[test]
fn colors_are_for_terminals_and_can_be_forced() -> Result {
    let file = File::new("color", &capture())?;
    let read = |color: &str, no_color: &str| {
        let mut command = tool();
        command.args(["read", "--any", "--color", color]).arg(&file.0).env("NO_COLOR", no_color);
        Ok::<_, std::io::Error>(text(&command.output()?.stdout))
    };
    // Stdout is a pipe.
    assert_eq!((read("auto", "")?.as_str(), read("never", "")?.as_str()), (PRINTED, PRINTED));
    assert!(read("always", "1")?.contains("\x1b[1m120.120.111.111:44208\x1b[0m"));
    Ok(())
}

#[test]
fn names_can_be_redacted_as_well() -> Result {
    let shown = printed(&requests()?, &["--redact", "X-Team", "--redact", "id"])?;
    assert!(!shown.contains("payments") && !shown.contains("id=1"), "{shown}");
    Ok(())
}

#[test]
fn without_a_rule_everything_is_read() -> Result {
    let file = File::new("everything", &capture())?;
    assert_eq!(file.read(&[])?.stdout, file.read(&["--any-flow"])?.stdout);
    assert_eq!(text(&file.read(&["--any"])?.stdout), PRINTED);
    Ok(())
}

#[test]
fn ten_thousand_groups_are_sorted_and_the_rest_is_added_up() -> Result {
    let mut bytes = header();
    bytes.extend(block_at(0, &packet(7, 9, SYN, &TOA, b"")));
    let mut seq = 10;
    // In an order that is not that of the table.
    let numbers = (0..10_000_u32).map(|number| number * 7919 % 10_000);
    for number in numbers.chain([4321]) {
        let request = request(&format!("/{number:04}"), "payments");
        bytes.extend(block_at(0, &packet(7, seq, ACK, &[], &request)));
        seq += u32::try_from(request.len())?;
    }
    let file = File::new("groups", &bytes)?;
    let output = file.read(&["--any", "-o", "oneline", "--summary-by", "path"])?;
    let lines = text(&output.stdout);
    let (_, table) = lines.split_once("\n\n").ok_or("no table")?;
    let rows: Vec<_> =
        table.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>()).collect();
    assert_eq!(rows.len(), 1 + 1000 + 1);
    assert_eq!(rows[..3], [["path", "requests", "connections"], ["/4321", "2", "1"], ["/0000", "1", "1"]]);
    assert!(rows[2..1001].is_sorted(), "{table}");
    assert_eq!(table.lines().last(), Some("and 9,000 more: 9,000 requests on 9,000 connections"));
    Ok(())
}

#[test]
fn values_of_any_bytes_are_rows_of_a_table() -> Result {
    let mut bytes = header();
    bytes.extend(block_at(0, &packet(7, 9, SYN, &TOA, b"")));
    let mut seq = 10;
    for team in [&b"b\xffd"[..], b"\xe6\x94\xaf", b"\x1b[2J", b"b\xffd", b""] {
        let request = [b"GET / HTTP/1.1\r\nhost: a\r\nx-team: ", team, b"\r\n\r\n"].concat();
        bytes.extend(block_at(0, &packet(7, seq, ACK, &[], &request)));
        seq += u32::try_from(request.len())?;
    }
    let file = File::new("bytes", &bytes)?;
    let lines = printed(&file, &["-o", "oneline", "--summary-by", "header:x-team"])?;
    let (_, table) = lines.split_once("\n\n").ok_or("no table")?;
    let rows: Vec<_> = table.lines().skip(1).map(|row| row.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(rows, [r"b\xffd", r#""""#, r"\x1b[2J", "支"]);
    Ok(())
}
