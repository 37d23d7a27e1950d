//! The filters that `toa-tc filter` prints, in tcpdump and tshark: over the table of option areas, and over the traffic of
//! a balancer of each habit.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use toa_packets::{
    builder::PacketBuilder,
    capture_file::PcapFile,
    fixtures::vectors::{self, EXTENDED, Vector},
    oracle::{Segment, options::USUAL},
};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::{
        client::Request,
        tcpdump::{self, Capture},
    },
    tool::toa_tc,
};

/// The first source port of the table's packets, each of which has one of its own.
const FIRST_PORT: u16 = 1000;

/// Vectors in which a filter finds too much: a second TOA (V21), the bytes of one after a malformed option (V34, V35, V40)
/// or after the end of the list (V42), or in another option (V47, V48).
const FALSE: [&str; 7] = ["V21", "V34", "V35", "V40", "V42", "V47", "V48"];

type Client = (IpAddr, Option<u16>);

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the filters of tcpdump and Wireshark that `toa-tc filter` prints.
fn filters(rules: &[String], options: &[String]) -> Result<[String; 2]> {
    let mut command = Command::new(toa_tc::binary()?);
    let printed = run(command.args(["filter", "-o", "json"]).args(options).args(rules))?;
    let printed: Value = serde_json::from_str(&printed)?;
    let text = |name| printed.get(name).and_then(Value::as_str).map(str::to_owned);
    text("tcpdump").zip(text("wireshark")).map(<[String; 2]>::from).with_context(|| format!("{printed}"))
}

/// Returns the source ports of the frames that tcpdump and tshark find with the filters of some rules.
fn find(file: &Path, rules: &[String], options: &[String]) -> Result<[BTreeSet<u16>; 2]> {
    let [for_tcpdump, for_wireshark] = filters(rules, options)?;
    let frames = tcpdump::select(file, &for_tcpdump)?;
    let port = |frame: &Vec<u8>| Some(Segment::of(frame)?.source.port());
    let by_tcpdump = frames.iter().map(port).collect::<Option<_>>().context("not TCP")?;
    let by_tshark = tshark(file, &["-Y", &for_wireshark, "-e", "tcp.srcport"])?;
    let by_tshark = by_tshark.lines().map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok([by_tcpdump, by_tshark])
}

fn tshark(file: &Path, arguments: &[&str]) -> Result<String> {
    run(Command::new("tshark").arg("-nr").arg(file).args(["-T", "fields"]).args(arguments))
}

/// Writes the table's option areas as packets over IPv4 and over IPv6. After each header are bytes that would be a TOA in
/// it.
fn table(directory: &TempDir, vectors: &[Vector]) -> Result<PathBuf> {
    let mut file = PcapFile::new(Vec::new())?;
    let payload = [0xfe, 8, 0xd4, 0x31, 203, 0, 113, 9];
    for (number, vector) in (0..).zip(vectors) {
        for (builder, port) in [(PacketBuilder::ipv4(), 2 * number), (PacketBuilder::ipv6(), 2 * number + 1)]
        {
            let builder = builder.source_port(FIRST_PORT + port).options(&vector.options);
            file.write(&builder.payload(&payload).build())?;
        }
    }
    let path = directory.path().join("vectors.pcap");
    fs::write(&path, file.finish()?)?;
    Ok(path)
}

/// Returns the source ports of a vector's packets.
fn ports(place: usize) -> Result<[u16; 2]> {
    let first = FIRST_PORT + u16::try_from(2 * place)?;
    Ok([first, first + 1])
}

/// A rule, and whether it matches a client.
type Rule = (String, Box<dyn Fn(Client) -> bool>);

/// Returns the forms of a rule for a client.
fn rules((address, port): Client) -> Vec<Rule> {
    let address = address.to_canonical();
    let without_last_bit = move |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::from((address.to_bits() & !1).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from((address.to_bits() & !1).to_be_bytes()),
    };
    let net = without_last_bit(address);
    let length = if net.is_ipv4() { 31 } else { 127 };
    let mut rules: Vec<Rule> = vec![
        (address.to_string(), Box::new(move |it| it.0.to_canonical() == address)),
        (format!("{net}/{length}"), Box::new(move |it| without_last_bit(it.0) == net)),
    ];
    if let Some(port) = port {
        let both = SocketAddr::new(address, port).to_string();
        rules.push((both, Box::new(move |it| it.0.to_canonical() == address && it.1 == Some(port))));
        rules.push((format!(":{port}"), Box::new(move |it| it.1 == Some(port))));
    }
    rules
}

/// Returns the options that select the default pairs, or all.
fn selection(extended: bool) -> Vec<String> {
    let pairs = if extended { EXTENDED.as_slice() } else { &[] };
    pairs.iter().map(|(kind, length)| format!("--toa={kind}:{length}")).collect()
}

/// Compares what the filters find with what the table expects. Returns the vectors in which they find too much.
fn compare(extended: bool) -> Result<BTreeSet<String>> {
    let vectors = vectors::all()?;
    let directory = tempfile::tempdir()?;
    let file = table(&directory, &vectors)?;
    let client = |vector: &Vector| if extended { vector.extended.client() } else { vector.default.client() };
    let clients: BTreeSet<Client> = vectors.iter().filter_map(client).collect();
    let mut forms: BTreeMap<_, _> = clients.into_iter().flat_map(rules).collect();
    forms.insert("any".to_owned(), Box::new(|_| true));
    assert!(forms.len() > 12, "{:?}", forms.keys());
    let mut too_many = BTreeSet::new();
    for (rule, matches) in forms {
        let found = find(&file, std::slice::from_ref(&rule), &selection(extended))?;
        assert_eq!(found[0], found[1], "{rule}: tcpdump and tshark differ");
        for (place, vector) in vectors.iter().enumerate() {
            for port in ports(place)? {
                let is_found = found[0].contains(&port);
                if client(vector).is_some_and(&matches) {
                    assert!(is_found, "{rule}: {} is missed", vector.id);
                } else if is_found {
                    too_many.insert(vector.id.clone());
                }
            }
        }
    }
    Ok(too_many)
}

#[test]
fn every_option_of_the_table_is_found() -> Result<()> {
    let expected: BTreeSet<_> = FALSE.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(compare(false)?, expected);
    assert_eq!(compare(true)?, expected);
    Ok(())
}

#[test]
fn several_rules_find_the_packets_of_each() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = table(&directory, &vectors::all()?)?;
    let rules = ["203.0.113.9:54321", "2001:db8::7", ":8080", "192.0.2.0/24"].map(str::to_owned);
    let mut each = BTreeSet::new();
    for rule in &rules {
        each.extend(find(&file, std::slice::from_ref(rule), &[])?[0].clone());
    }
    let together = find(&file, &rules, &[])?;
    assert_eq!(together, [each.clone(), each]);
    Ok(())
}

/// Returns the source port, the address and the port that the dissector shows for every packet.
fn dissect(file: &Path, options: &[String]) -> Result<Vec<[String; 3]>> {
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("toa.lua");
    let mut command = Command::new(toa_tc::binary()?);
    fs::write(&script, run(command.args(["filter", "--wireshark-lua"]).args(options))?)?;
    let script = format!("lua_script:{}", script.display());
    let fields = ["-X", &script, "-e", "tcp.srcport", "-e", "toa.client.address", "-e", "toa.client.port"];
    let rows = tshark(file, &fields)?;
    let cells = |line: &str| {
        let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
        <[String; 3]>::try_from(cells).ok().with_context(|| format!("not three columns: {line}"))
    };
    rows.lines().map(cells).collect()
}

/// Returns the row that the dissector shows.
fn row(source: u16, client: Option<Client>) -> [String; 3] {
    let (address, port) = client.map_or((None, None), |(address, port)| (Some(address.to_canonical()), port));
    let [address, port] = [address.map(|it| it.to_string()), port.map(|it| it.to_string())];
    [source.to_string(), address.unwrap_or_default(), port.unwrap_or_default()]
}

#[test]
fn the_dissector_shows_the_client_of_every_option_of_the_table() -> Result<()> {
    let vectors = vectors::all()?;
    let directory = tempfile::tempdir()?;
    let file = table(&directory, &vectors)?;
    for extended in [false, true] {
        for pick in ["first", "last"] {
            let mut expected = Vec::new();
            for (place, vector) in vectors.iter().enumerate() {
                let first = if extended { &vector.extended } else { &vector.default };
                let last = vector.last(extended)?;
                let client = if pick == "first" { first.client() } else { last.client() };
                expected.extend(ports(place)?.map(|port| row(port, client)));
            }
            let options = [selection(extended), vec![format!("--toa-pick={pick}")]].concat();
            assert_eq!(dissect(&file, &options)?, expected, "{options:?}");
        }
    }
    Ok(())
}

#[test]
fn the_marked_packets_of_every_habit_are_found_and_no_others() -> Result<()> {
    let client: SocketAddr = "203.0.113.9:54321".parse()?;
    let others = [Some("203.0.113.10:54321".parse()?), Some("[2001:db8::7]:443".parse()?), None];
    for habit in Habit::ALL {
        let mut lab = Lab::new(habit)?;
        let nginx = lab.nginx()?;
        let capture = Capture::start(&lab.server, "tcp")?;
        let mut connections = Vec::new();
        for client in [Some(client)].into_iter().chain(others) {
            connections.push((client, lab.connect(client)?));
        }
        for number in 0..3 {
            for (_, connection) in &mut connections {
                connection.ask(Request::get(&format!("/orders/{number}")))?;
            }
        }
        let clients: BTreeMap<u16, Option<SocketAddr>> =
            connections.iter().map(|(client, connection)| (connection.local().port(), *client)).collect();
        let last = connections.last().context("no connection")?.1.local().port();
        // The last one is closed last.
        connections.into_iter().for_each(drop);
        let captured = capture.file_at_end_of(last)?;
        nginx.stop()?;

        let frames = tcpdump::select(captured.path(), "tcp")?;
        let segments: Vec<_> =
            frames.iter().map(|frame| Segment::of(frame).context("not TCP")).collect::<Result<_>>()?;
        let toa = |segment: &Segment| segment.opinion(USUAL).found.map(|found| (found.address, found.port));
        let wanted = Some((client.ip(), Some(client.port())));
        let marked: Vec<_> = (1..).zip(&segments).filter(|(_, segment)| toa(segment) == wanted).collect();
        assert!(!marked.is_empty(), "{habit:?}");
        for rule in ["203.0.113.9", "203.0.113.9:54321", "203.0.113.8/31"] {
            let [for_tcpdump, for_wireshark] = filters(&[rule.to_owned()], &[])?;
            let found = tcpdump::select(captured.path(), &for_tcpdump)?;
            let expected: Vec<_> = marked.iter().filter_map(|(number, _)| frames.get(number - 1)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{habit:?}: {rule}");
            let found = tshark(captured.path(), &["-Y", &for_wireshark, "-e", "frame.number"])?;
            let expected: Vec<_> = marked.iter().map(|(number, _)| number.to_string()).collect();
            assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{habit:?}: {rule}");
        }

        // The dissector knows the client of a connection from its first TOA on.
        let mut known = BTreeMap::new();
        let expected: Vec<_> = segments
            .iter()
            .map(|segment| {
                let port = segment.source.port();
                if let Some(client) = toa(segment) {
                    known.insert(port, client);
                }
                row(port, known.get(&port).copied())
            })
            .collect();
        assert_eq!(dissect(captured.path(), &[])?, expected, "{habit:?}");
        let named: BTreeMap<_, _> =
            clients.into_iter().filter_map(|(port, client)| Some((port, client?))).collect();
        let known: BTreeMap<_, _> = known
            .into_iter()
            .filter_map(|(port, (address, client_port))| Some((port, SocketAddr::new(address, client_port?))))
            .collect();
        assert_eq!(known, named, "{habit:?}");
    }
    Ok(())
}
