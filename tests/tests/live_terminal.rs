//! What a person sees on a terminal, which is a real one: `top`, the table of `clients`, and where sentences begin.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    io::BufWriter,
    net::SocketAddr,
};

use anyhow::{Context as _, Result, bail, ensure};
use toa_packets::capture_file::PcapFile;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::{client::Request, nginx::Nginx, tcpdump::Capture},
    process::Signal,
    tool::{
        terminal::{Ended, Terminal},
        toa_tc::ToaTc,
    },
    wait,
};

/// The clients, in the order of their requests.
const CLIENTS: [&str; 3] = ["120.120.111.111:1", "203.0.113.9:2", "[2001:db8::7]:3"];

/// The sizes of terminals.
const SIZES: [(u16, u16); 3] = [(80, 24), (50, 24), (200, 50)];

/// Packets of a capture that is not read at once.
const LARGE: usize = 3_000_000;

/// The control sequences of keys.
const DOWN: &str = "\x1b[B";
const PAGE_DOWN: &str = "\x1b[6~";
const PAGE_UP: &str = "\x1b[5~";
const CTRL_C: &str = "\x03";

/// Ends a run.
type End = fn(&mut Terminal) -> Result<()>;

fn lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    Ok((lab, nginx))
}

/// Sends requests of each client, the first one most.
fn talk(lab: &mut Lab) -> Result<()> {
    for (number, client) in CLIENTS.iter().enumerate() {
        let client: SocketAddr = client.parse()?;
        let mut connection = lab.connect(Some(client))?;
        for request in 0..2 * (CLIENTS.len() - number) {
            connection.ask(Request::get(&format!("/{request}")))?;
        }
    }
    Ok(())
}

/// Starts `top` and waits until it shows its keys.
fn top(lab: &Lab, size: (u16, u16), options: &[&str]) -> Result<Terminal> {
    let arguments = [&["top", "web0"], options].concat();
    let mut terminal = Terminal::start(&lab.server.namespace, size, &arguments)?;
    terminal.wait_for("the keys", |lines| lines.last().is_some_and(|last| last.starts_with("q quit")))?;
    ensure!(terminal.screen()?.alternate_screen());
    Ok(terminal)
}

/// Returns whether a row begins with these words.
fn has_row(lines: &[String], words: &[&str]) -> bool {
    lines.iter().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()))
}

/// Returns whether the tool has said that it is attached.
fn is_attached(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with("toa-tc: attached to "))
}

/// Checks the end of a run of [`talk`]: a sentence and the table, both whole and once.
fn check(ended: &Ended) -> Result<()> {
    let Ended { code, lines } = ended;
    let text = lines.join("\n");
    ensure!(*code == 0, "{code}: {text}");
    ensure!(text.contains("toa-tc: 12 requests of 3 clients on 3 connections, nothing lost"), "{text}");
    ensure!(text.matches("requests  connections  first seen").count() == 1, "{text}");
    for row in [["120.120.111.111", "6", "1"], ["203.0.113.9", "4", "1"], ["2001:db8::7", "2", "1"]] {
        ensure!(has_row(lines, &row), "{row:?}: {text}");
    }
    Ok(())
}

#[test]
fn top_fits_every_size_and_follows_a_resize() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let mut terminal = top(&lab, SIZES[0], &[])?;
    talk(&mut lab)?;
    for (columns, rows) in SIZES.into_iter().chain([(40, 8), SIZES[0]]) {
        terminal.resize(columns, rows)?;
        let lines = terminal.wait_for("the table in another size", |lines| {
            let bottom = &lines[usize::from(rows) - 1];
            bottom.chars().count() == usize::from(columns)
                && bottom.starts_with("q quit")
                && bottom.ends_with("1-3 of 3")
                && has_row(lines, &["120.120.111.111", "6"])
        })?;
        assert!(lines[0].starts_with("web0: every client with TOA "), "{lines:?}");
        assert_eq!(lines[0].chars().count(), usize::from(columns), "{lines:?}");
        assert!(lines[..3].join("\n").contains("nothing lost"), "{lines:?}");
        // The order of requests, and addresses that are whole.
        let at = |client: &str| lines.iter().position(|line| line.starts_with(client)).context("no row");
        assert!(at("120.120.111.111 ")? < at("203.0.113.9 ")? && at("203.0.113.9 ")? < at("2001:db8::7 ")?);
        let has = |heading| lines.iter().any(|line| line.contains(heading));
        assert_eq!(
            (has("connections  first seen"), has("per s")),
            (columns >= 80, columns >= 40),
            "{lines:?}"
        );
    }
    terminal.press("q")?;
    let ended = terminal.wait()?;
    check(&ended)
}

#[test]
fn keys_sort_and_scroll_ten_thousand_rows() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let mut terminal = top(&lab, (80, 24), &["--summary-by", "path"])?;
    let mut connection = lab.connect(Some(CLIENTS[0].parse()?))?;
    for hundred in 0..100 {
        let requests = (0..100).map(|number| Request::get(&format!("/{hundred:02}{number:02}")));
        connection.pipeline(requests.collect())?;
    }
    connection.ask(Request::get("/1234"))?;
    let has_position = |position: &'static str| {
        move |lines: &[String]| lines.last().is_some_and(|last| last.ends_with(position))
    };
    // Two lines about the run, the heading, and the keys.
    let lines = terminal.wait_for("the first page", has_position("1-20 of 10,000"))?;
    let paths = |lines: &[String]| -> Vec<String> {
        let rows = lines.iter().filter(|line| line.starts_with('/'));
        rows.map(|row| row.chars().take(5).collect()).collect()
    };
    let first = paths(&lines);
    assert_eq!((first.len(), &first[..3]), (20, &["/1234", "/0000", "/0001"].map(str::to_owned)[..]));
    terminal.press(DOWN)?;
    let lines = terminal.wait_for("one row further", has_position("2-21 of 10,000"))?;
    assert_eq!(paths(&lines)[0], "/0000");
    terminal.press(PAGE_DOWN)?;
    terminal.wait_for("one page further", has_position("22-41 of 10,000"))?;
    terminal.press(PAGE_UP)?;
    terminal.press(PAGE_UP)?;
    terminal.wait_for("the first page again", has_position("1-20 of 10,000"))?;
    terminal.press("s")?;
    terminal
        .wait_for("another order", |lines| lines.last().is_some_and(|last| last.contains("sort: per s")))?;
    terminal.press("s")?;
    let lines = terminal.wait_for("the last order", |lines| {
        lines.last().is_some_and(|last| last.contains("sort: last seen"))
    })?;
    assert_eq!(paths(&lines)[0], "/1234", "{lines:?}");
    terminal.press(CTRL_C)?;
    let Ended { code, lines } = terminal.wait()?;
    let [.., rest, sentence] = lines.as_slice() else { bail!("no lines") };
    assert_eq!((code, rest.as_str()), (0, "and 9,000 more: 9,000 requests on 9,000 connections"));
    assert!(sentence.starts_with("toa-tc: 10,001 requests of 1 client on 1 connection, "), "{sentence}");
    Ok(())
}

#[test]
fn every_end_of_top_leaves_the_terminal_as_it_was() -> Result<()> {
    let ends: [(&str, End); 5] = [
        ("q", |terminal| terminal.press("q")),
        ("Ctrl-C", |terminal| terminal.press(CTRL_C)),
        ("SIGINT", |terminal| terminal.signal(Signal::Interrupt)),
        ("SIGTERM", |terminal| terminal.signal(Signal::Terminate)),
        ("SIGHUP", |terminal| terminal.signal(Signal::Hangup)),
    ];
    for (name, end) in ends {
        let (mut lab, _nginx) = lab()?;
        let mut terminal = top(&lab, (80, 24), &[])?;
        talk(&mut lab)?;
        terminal.wait_for("the last client", |lines| has_row(lines, &["2001:db8::7", "2"]))?;
        end(&mut terminal)?;
        terminal.wait().and_then(|ended| check(&ended)).context(name)?;
    }
    Ok(())
}

#[test]
fn a_failure_of_top_is_read_after_it() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let mut terminal = top(&lab, (80, 24), &["--netlink"])?;
    talk(&mut lab)?;
    terminal.wait_for("the last client", |lines| has_row(lines, &["2001:db8::7", "2"]))?;
    lab.server.namespace.output("tc", &["qdisc", "del", "dev", "web0", "clsact"])?;
    let Ended { code, lines } = terminal.wait()?;
    assert_eq!(
        (code, lines.last().map(String::as_str)),
        (1, Some("toa-tc: no interface is left")),
        "{lines:?}"
    );
    Ok(())
}

#[test]
fn top_shows_messages_and_they_are_kept() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let (lab, _nginx) = lab()?;
        let mut terminal = top(&lab, (80, 24), &["--ip", "203.0.113.9"])?;
        let lines = terminal.lines()?;
        assert!(lines[0].starts_with("web0: 203.0.113.9 "), "{lines:?}");
        ToaTc::run(&lab.server.namespace, &["watch", "add", "203.0.113.10"])?.succeeded()?;
        let is_said = |lines: &[String]| lines.iter().any(|line| line.contains("203.0.113.10"));
        let lines = terminal.wait_for("the message", is_said)?;
        assert!(lines[23].starts_with("q quit"), "{lines:?}");
        terminal.press("q")?;
        let Ended { lines, .. } = terminal.wait()?;
        ensure!(is_said(&lines), "{lines:?}");
        Ok(())
    })
}

#[test]
fn the_table_of_clients_leaves_no_remnants_on_a_narrow_terminal() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let namespace = lab.server.namespace.clone();
    let mut terminal = Terminal::start(&namespace, (50, 24), &["clients", "web0"])?;
    terminal.wait_for("the tool to attach", is_attached)?;
    for (number, client) in ["120.120.111.111:1", "120.120.111.112:2", "120.120.111.113:3"].iter().enumerate()
    {
        lab.connect(Some(client.parse()?))?.ask(Request::get("/"))?;
        let address = client.split(':').next().context("no address")?;
        let lines = terminal.wait_for("another row", |lines| has_row(lines, &[address, "1", "1"]))?;
        let rows = lines.iter().filter(|line| line.starts_with("120.120.111.")).count();
        assert_eq!(rows, number + 1, "{lines:?}");
        let headings = lines.iter().filter(|line| line.starts_with("client ")).count();
        assert_eq!(headings, 1, "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains(":0")), "a line is continued: {lines:?}");
    }
    terminal.press(CTRL_C)?;
    let Ended { code, lines } = terminal.wait()?;
    let text = lines.join("\n");
    assert_eq!(code, 0, "{text}");
    // The last table, whose lines are whole.
    assert_eq!(text.matches("client  ").count(), 1, "{text}");
    assert!(
        !text.contains("^C") && text.contains("toa-tc: 3 requests of 3 clients on 3 connections"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_sentence_does_not_follow_the_keys_that_end_a_run() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let namespace = lab.server.namespace.clone();
    let options = ["attach", "web0", "--any", "-o", "oneline"];
    let mut terminal = Terminal::start(&namespace, (200, 24), &options)?;
    terminal.wait_for("the tool to attach", is_attached)?;
    lab.connect(Some(CLIENTS[0].parse()?))?.ask(Request::get("/"))?;
    terminal.wait_for("the request", |lines| lines.iter().any(|line| line.ends_with(" GET / HTTP/1.1")))?;
    terminal.press(CTRL_C)?;
    let Ended { code, lines } = terminal.wait()?;
    let expected = ["^C", "toa-tc: 1 request of 1 client on 1 connection, nothing lost"];
    assert_eq!((code, lines.last_chunk()), (0, Some(&expected.map(str::to_owned))), "{lines:?}");
    Ok(())
}

#[test]
fn progress_is_one_line_while_results_go_to_a_file_and_is_erased() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let namespace = lab.server.namespace.clone();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("results");
    let results = path.to_str().context("no text")?;
    let options = ["attach", "web0", "--any", "--output-file", results];
    let mut terminal = Terminal::start(&namespace, (80, 24), &options)?;
    terminal.wait_for("the tool to attach", is_attached)?;
    talk(&mut lab)?;
    let found = "s: 12 requests on 3 connections, nothing lost so far";
    let lines = terminal.wait_for("the progress", |lines| lines.iter().any(|line| line.ends_with(found)))?;
    assert_eq!(lines.iter().filter(|line| line.contains(" so far")).count(), 1, "{lines:?}");
    terminal.press(CTRL_C)?;
    let Ended { code, lines } = terminal.wait()?;
    let text = lines.join("\n");
    assert!(code == 0 && !text.contains("so far") && !text.contains("^C"), "{text}");
    let last = lines.last().context("no line")?;
    assert_eq!(last, "toa-tc: 12 requests of 3 clients on 3 connections, nothing lost");
    assert_eq!(fs::read_to_string(&path)?.matches(" HTTP/1.1").count(), 12);
    // With -q, there is none.
    let ready = directory.path().join("ready");
    let quiet = ["-q", "--ready-file", ready.to_str().context("no text")?];
    let mut terminal = Terminal::start(&namespace, (80, 24), &[&options[..], &quiet].concat())?;
    wait::until("the tool to attach", || Ok(ready.exists().then_some(())))?;
    talk(&mut lab)?;
    wait::until("all requests of the second run", || {
        terminal.screen()?;
        Ok((fs::read_to_string(&path)?.matches(" HTTP/1.1").count() == 24).then_some(()))
    })?;
    terminal.signal(Signal::Terminate)?;
    let Ended { code, lines } = terminal.wait()?;
    ensure!(code == 0 && !lines.join("\n").contains("so far"), "{lines:?}");
    Ok(())
}

#[test]
fn progress_of_a_large_capture_is_shown_in_percent() -> Result<()> {
    let (mut lab, _nginx) = lab()?;
    let namespace = lab.server.namespace.clone();
    let capture = Capture::start(&lab.server, "tcp port 80")?;
    let mut connection = lab.connect(Some(CLIENTS[0].parse()?))?;
    connection.ask(Request::get("/"))?;
    let port = connection.local().port();
    drop(connection);
    let frames = capture.stop_at_end_of(port)?;
    let directory = tempfile::tempdir()?;
    let (path, results) = (directory.path().join("large.pcap"), directory.path().join("results"));
    let mut file = PcapFile::new(BufWriter::new(File::create(&path)?))?;
    // One connection, again and again.
    for _ in 0..LARGE / frames.len() {
        frames.iter().try_for_each(|frame| file.write(frame))?;
    }
    file.finish()?;
    let arguments = ["read", path.to_str().context("no text")?, "--any"];
    let mut terminal = Terminal::start_storing(&namespace, (80, 24), &results, &arguments)?;
    let lines = terminal.wait_for("the progress", |lines| lines[0].contains(" % read, "))?;
    ensure!(lines[0].starts_with("toa-tc: ") && lines[0].ends_with(" so far"), "{lines:?}");
    let Ended { code, lines } = terminal.wait()?;
    ensure!(code == 0 && !lines.join("\n").contains(" % read"), "{lines:?}");
    Ok(())
}
