//! HTTP/2 inside TLS, field by field: each request is printed with the fields that tshark decrypts with the keys of the run, by
//! clients that compress them differently.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{BALANCER, Lab, marker::Habit, tls_address},
    peers::{
        client::Request,
        http2_client::Http2Connection,
        nginx::{Also, Nginx, Setup, TLS_PORT},
        tcpdump::Capture,
        tshark::{self, HeaderBlock},
    },
    process::Signal,
    tool::{printed, toa_tc::ToaTc},
};

const WATCHED: &str = "203.0.113.9:54321";

/// What is redacted.
const SECRET: [&[u8]; 2] = [b"authorization", b"cookie"];

/// A name and a value, byte for byte.
type Field = (Vec<u8>, Vec<u8>);

/// A request: method, target and fields in order.
#[derive(Debug, Eq, PartialEq)]
struct Sent {
    method: Vec<u8>,
    target: Vec<u8>,
    fields: Vec<Field>,
}

/// Something of each connection's requests in order, by the balancer's port.
type ByPort<T> = BTreeMap<u16, Vec<T>>;

fn url(target: &str) -> String {
    format!("https://{}{target}", tls_address())
}

/// Marks the next connections as those of the watched client.
fn mark_next(lab: &mut Lab, connections: usize) -> Result<()> {
    let option = toa_option(WATCHED.parse()?);
    lab.marker.assign_next(vec![&option[..]; connections])
}

/// Runs a client that writes its keys to a file.
fn run(lab: &Lab, keys: &Path, arguments: &[&str]) -> Result<String> {
    let environment = format!("SSLKEYLOGFILE={}", keys.display());
    lab.balancer.namespace.output("env", &[&[environment.as_str()], arguments].concat())
}

/// Runs curl, which sends all requests on one connection.
fn curl(lab: &Lab, keys: &Path, arguments: &[&str], targets: &[&str]) -> Result<()> {
    let urls: Vec<_> = targets.iter().map(|target| url(target)).collect();
    let urls = urls.iter().flat_map(|url| ["-o", "/dev/null", url]);
    let all = ["curl", "-ksS", "--http2", "--noproxy", "*", "--max-time", "20"];
    run(lab, keys, &[&all[..], arguments, &urls.collect::<Vec<_>>()].concat()).map(drop)
}

/// Lets h2load send so many requests on each of two connections, up to 100 at once.
fn h2load(lab: &mut Lab, keys: &Path, each: usize, arguments: &[&str]) -> Result<()> {
    mark_next(lab, 2)?;
    let urls = keys.with_file_name("urls");
    let url = |number| url(&format!("/load/{number}?q=1")) + "\n";
    fs::write(&urls, (0..each).map(url).collect::<String>())?;
    let (all, urls) = ((2 * each).to_string(), urls.display().to_string());
    let fixed = ["h2load", "-n", &all, "-c", "2", "-m", "100", "-t", "1", "-i", &urls];
    let said = run(lab, keys, &[&fixed[..], arguments].concat())?;
    ensure!(said.contains(&format!("{all} succeeded")), "{said}");
    Ok(())
}

/// Sends requests that need every form of the compression. Returns how many.
fn ask(lab: &mut Lab, keys: &Path) -> Result<usize> {
    h2load(lab, keys, 200, &["-H", "x-team: load"])?;
    // The table has room for two or three of the fields: they are put into it again and again.
    let (first, second) =
        ("x-first: ".to_owned() + &"f".repeat(50), "x-second: ".to_owned() + &"s".repeat(50));
    let few = ["--encoder-header-table-size=200", "-H", "x-team: few", "-H", &first, "-H", &second];
    let repeated =
        ["-H", "x-team: again", "-H", "cookie: a=hunter2", "-H", "cookie: c=d", "-H", "x-team: few"];
    let secret = ["-H", "authorization: Bearer hunter2", "-H", "te: trailers"];
    h2load(lab, keys, 60, &[&few[..], &repeated, &secret].concat())?;

    let file = keys.with_file_name("fields");
    let fields = [
        // Latin-1 is no UTF-8.
        &b"x-latin: gr\xfc\xdfe"[..],
        "x-utf: grüße\nx-bidi: a\u{202e}b".as_bytes(),
        br#"x-quotes: "a\x41\\""#,
        b"x-empty;\nx-colon: a: b\n",
    ];
    fs::write(&file, fields.join(&b'\n'))?;
    let file = format!("@{}", file.display());
    for number in 0..10 {
        mark_next(lab, 1)?;
        let team = format!("x-team: {number}");
        // None of these characters is short in the Huffman code: more than a frame.
        let long = format!("x-long: {}", "~^".repeat(number * 1500));
        let body = "b".repeat(number * 3000);
        let cookie = format!("cookie: session=hunter2-{}; theme=dark", "c".repeat(number * 5));
        let arguments = ["-H", &file, "-H", &team, "-H", &long, "-H", &cookie, "-H", "x-team: last"];
        curl(lab, keys, &[&arguments[..], &["--data", &body]].concat(), &["/?a=b", "/second", "/third"])?;
    }

    mark_next(lab, 1)?;
    let mut connection =
        Http2Connection::open_with_keys(&lab.balancer.namespace, lab.bind()?, tls_address(), keys)?;
    for number in 0..12 {
        if number % 5 == 4 {
            connection.empty_table();
        }
        let request = Request::get(&format!("/emptied/{number}")).field("x-request-id", &number.to_string());
        let request = request
            .field("x-team", "emptied")
            .field("x-empty", "")
            .field("x-team", &(number / 2).to_string());
        // Crumbs.
        connection.ask(request.field("cookie", "a=b").field("cookie", "c=d").field("x-team", "emptied"))?;
    }
    Ok(2 * 200 + 2 * 60 + 10 * 3 + 12)
}

#[test]
fn every_field_is_what_tshark_decrypts_with_the_keys_of_the_run() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
    let directory = tempfile::Builder::new().prefix("toa-keys-").tempdir()?;
    let keys = directory.path().join("keys");
    let capture = Capture::start_both_ways(&lab.server, "tcp")?;
    // One prints all fields in order, the other one redacts and names the streams.
    let arguments = ["--ip", "203.0.113.9", "--tls"];
    let in_order = ToaTc::attach(&lab.server, &[&arguments[..], &["--show-secrets"]].concat())?;
    let redacted = ToaTc::attach(&lab.server, &[&arguments[..], &["-o", "json"]].concat())?;
    let count = ask(&mut lab, &keys)? + 1;
    let last: u16 = 47_123;
    lab.marker.assign(SocketAddr::new(BALANCER.into(), last), &toa_option(WATCHED.parse()?))?;
    curl(&lab, &keys, &["--local-port", &last.to_string()], &["/last"])?;
    let file = capture.file_at_end_of(last)?;
    let in_order = in_order.stop(Signal::Interrupt)?.succeeded()?;
    let redacted = redacted.stop(Signal::Interrupt)?.succeeded()?;

    let blocks = tshark::header_blocks(file.path(), &keys, TLS_PORT)?;
    println!("{count} requests, {} header blocks by tshark", blocks.len());
    ensure!(blocks.len() == count, "{count}");
    check_variety(&blocks)?;
    let (mut theirs, mut streams) = (ByPort::new(), ByPort::new());
    for block in &blocks {
        theirs.entry(block.port).or_default().push(sent(block)?);
        streams.entry(block.port).or_default().push(block.stream);
    }
    compare(&in_text(&in_order.stdout)?, &theirs)?;
    ensure!(!redacted.stdout.contains("hunter2"), "a secret is printed");
    let groups = |(port, sent): (&u16, &Vec<Sent>)| {
        let groups = sent.iter().zip(&streams[port]).map(|(sent, stream)| Grouped::of(sent, *stream));
        (*port, groups.collect())
    };
    compare(&in_json(&redacted.stdout)?, &theirs.iter().map(groups).collect())
}

/// Checks that both have found the same of each connection.
fn compare<T: Eq + std::fmt::Debug>(ours: &ByPort<T>, theirs: &ByPort<T>) -> Result<()> {
    let ports =
        |of: &ByPort<T>| of.iter().map(|(port, requests)| (*port, requests.len())).collect::<Vec<_>>();
    ensure!(ports(ours) == ports(theirs), "ours {:?}, theirs {:?}", ports(ours), ports(theirs));
    for (ours, theirs) in ours.values().flatten().zip(theirs.values().flatten()) {
        ensure!(ours == theirs, "ours {ours:#?}, theirs {theirs:#?}");
    }
    Ok(())
}

/// Checks that the clients have used what they are used for.
fn check_variety(blocks: &[HeaderBlock]) -> Result<()> {
    let representations: BTreeSet<_> = blocks.iter().flat_map(|block| &block.representations).collect();
    println!("{representations:?}");
    let has = |words: &str| representations.iter().any(|it| it.contains(words));
    for words in ["Indexed Header Field", "with Incremental", "without Indexing", "never Indexed", "New Name"]
    {
        ensure!(has(words), "{words}: {representations:?}");
    }
    ensure!(blocks.iter().any(|block| block.frames > 1), "no CONTINUATION");
    let updates: usize = blocks.iter().map(|block| block.size_updates).sum();
    ensure!(updates >= 2 + 2 * 2, "{updates} updates of the table's size");
    let same_packet = blocks.windows(2).any(|pair| pair[0].packet == pair[1].packet);
    ensure!(same_packet, "never two requests in a packet");
    // Put into the table twice: the first one was evicted.
    let mut indexed = BTreeSet::new();
    let is_again = blocks.iter().any(|block| {
        block.fields.iter().zip(&block.representations).any(|(field, representation)| {
            representation.contains("with Incremental") && !indexed.insert((block.port, field))
        })
    });
    ensure!(is_again, "nothing was evicted");
    Ok(())
}

/// Returns the request of a header block: `:authority` is printed as `host`, before the other fields; `:scheme` is not. The
/// crumbs of a cookie (RFC 9113 section 8.2.3) are printed as they were sent, each as a field of its own, as tshark shows
/// them; a server joins them with "; ".
fn sent(block: &HeaderBlock) -> Result<Sent> {
    let pseudo = |name: &[u8]| {
        let found = block.fields.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.clone()).with_context(|| format!("not in {block:?}"))
    };
    let mut fields = vec![(b"host".to_vec(), pseudo(b":authority")?)];
    fields.extend(block.fields.iter().filter(|(name, _)| !name.starts_with(b":")).cloned());
    Ok(Sent { method: pseudo(b":method")?, target: pseudo(b":path")?, fields })
}

/// Returns the bytes that were escaped.
fn unescaped(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut parts = text.split('\\');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    while let Some(part) = parts.next() {
        if let Some(rest) = part.strip_prefix('x') {
            let (digits, rest) = rest.split_at_checked(2).context("no two digits")?;
            bytes.push(u8::from_str_radix(digits, 16)?);
            bytes.extend(rest.bytes());
        } else {
            ensure!(part.is_empty(), "an unknown escape: {text}");
            bytes.push(b'\\');
            bytes.extend(parts.next().context("a lone backslash")?.bytes());
        }
    }
    Ok(bytes)
}

/// Returns the requests in a run's text, each in order, without the lines of TLS connections.
fn in_text(stdout: &str) -> Result<ByPort<Sent>> {
    let is_of_request = |line: &&str| line.starts_with(' ') || !line.contains(") TLS ");
    let lines: String = stdout.split_inclusive('\n').filter(is_of_request).collect();
    let mut found = ByPort::new();
    for request in printed::parse(&lines)? {
        ensure!(request.marks == ["TLS"] && request.client.to_string() == WATCHED, "{request:?}");
        let field = |(name, value): &(String, String)| Ok((unescaped(name)?, unescaped(value)?));
        let sent = Sent {
            method: unescaped(&request.method)?,
            target: unescaped(&request.target)?,
            fields: request.fields.iter().map(field).collect::<Result<_>>()?,
        };
        found.entry(request.via.port()).or_insert_with(Vec::new).push(sent);
    }
    Ok(found)
}

/// A request with its stream, its values by name, and those that are secret as `None`.
#[derive(Debug, Eq, PartialEq)]
struct Grouped {
    stream: u64,
    method: Vec<u8>,
    target: Vec<u8>,
    values: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>,
}

impl Grouped {
    fn of(sent: &Sent, stream: u64) -> Self {
        let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, value) in &sent.fields {
            let is_secret = SECRET.contains(&&name[..]);
            values.entry(name.clone()).or_default().push((!is_secret).then(|| value.clone()));
        }
        Self { stream, method: sent.method.clone(), target: sent.target.clone(), values }
    }
}

/// Returns the requests in a run's JSON Lines.
fn in_json(stdout: &str) -> Result<ByPort<Grouped>> {
    let text = |value: &Value| unescaped(value.as_str().with_context(|| format!("no text: {value}"))?);
    let mut found = ByPort::new();
    for line in stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] != "request" {
            continue;
        }
        let request = &event["http"]["request"];
        let mut values = BTreeMap::new();
        for (name, of_name) in request["header"].as_object().context("no fields")? {
            let name = unescaped(name)?;
            let of_name = of_name.as_array().context("no values")?.iter().map(|value| {
                let is_hidden = value.as_str().is_some_and(|value| value.contains("•••"));
                Ok(if is_hidden { None } else { Some(text(value)?) })
            });
            values.insert(name, of_name.collect::<Result<Vec<_>>>()?);
        }
        let stream = event["connection"]["stream"].as_u64().context("no stream")?;
        let (method, target) = (text(&request["method"])?, text(&event["url"]["original"])?);
        let port = u16::try_from(event["network"]["peer"]["port"].as_u64().context("no port")?)?;
        found.entry(port).or_insert_with(Vec::new).push(Grouped { stream, method, target, values });
    }
    Ok(found)
}
