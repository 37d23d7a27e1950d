//! What tshark reads from a capture.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::request::{Ends, Host, Request, comparable};

/// Separates several values of one frame in tshark's lines; it would escape it in a value.
const AGGREGATOR: char = '\x1f';

/// The settings of the comparison: out-of-order segments are put in order, as a server does.
const SETTINGS: [&str; 1] = ["tcp.reassemble_out_of_order:TRUE"];

/// Other settings, each of which finds requests that the usual ones miss, for example because tshark waits for the rest of
/// a body, or for a segment, that is not in the capture.
const OTHER_SETTINGS: [&[&str]; 3] = [
    &["tcp.reassemble_out_of_order:TRUE", "http.desegment_body:FALSE"],
    &["http.desegment_body:FALSE"],
    &["tcp.desegment_tcp_streams:FALSE"],
];

/// The fields of every line: the protocols of the frame, and the ends of all its IP packets.
const ENDS: [&str; 7] =
    ["frame.protocols", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport"];

/// What tshark prints for a capture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Theirs {
    pub(crate) requests: Vec<Request>,
    /// The protocols of the frame that completes each request, and whether fragments were put together for it.
    pub(crate) frames: Vec<Frame>,
    /// The connections, in both directions.
    pub(crate) streams: BTreeMap<Ends, Stream>,
}

/// A frame that completes requests.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) protocols: Vec<String>,
    pub(crate) is_fragmented: bool,
}

/// What tshark found out about one direction of a connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four observations that do not depend on each other")]
pub(crate) struct Stream {
    /// The numbers of its connections.
    pub(crate) numbers: BTreeSet<String>,
    /// It was read as HTTP.
    pub(crate) is_http: bool,
    /// The capture has its SYN.
    pub(crate) has_syn: bool,
    /// The capture lacks bytes of it.
    pub(crate) lacks_bytes: bool,
    /// A checksum is wrong.
    pub(crate) has_bad_checksum: bool,
}

impl Theirs {
    /// Reads a capture.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let mut theirs = Self::default();
        for line in request_lines(file, &SETTINGS)? {
            theirs.add_requests(&line)?;
        }
        let flags = [
            "tcp.stream",
            "tcp.flags.syn",
            "frame.cap_len",
            "frame.len",
            "tcp.analysis.lost_segment",
            "tcp.checksum.status",
        ];
        let of_packets = [&ENDS[..], &flags].concat();
        let settings = [&SETTINGS[..], &["tcp.check_checksum:TRUE"]].concat();
        // A wrong checksum is only told here: with offloading, it is usual.
        for line in lines(file, &settings, "tcp", &of_packets)? {
            theirs.add_packet(&line)?;
        }
        Ok(theirs)
    }

    /// Returns the requests that other settings find in a capture.
    pub(crate) fn with_other_settings(file: &Path) -> Result<Vec<Request>> {
        let mut theirs = Self::default();
        for settings in OTHER_SETTINGS {
            for line in request_lines(file, settings)? {
                // Without reassembly, tshark takes parts of bodies for requests without a target.
                _ = theirs.add_requests(&line);
            }
        }
        Ok(theirs.requests)
    }

    /// Parses a line: the requests that one frame completes.
    fn add_requests(&mut self, line: &str) -> Result<()> {
        let fields = split(line);
        let [protocols, ends @ .., methods, targets, hosts, fragments, fragments6] = &fields[..] else {
            bail!("too few fields: {line}")
        };
        ensure!(methods.len() == targets.len(), "methods and targets differ in number: {line}");
        let protocols = protocols_of(protocols);
        let (ends, is_fragmented) =
            (ends_of(ends, &protocols)?, !(fragments.is_empty() && fragments6.is_empty()));
        for (at, (method, target)) in methods.iter().zip(targets).enumerate() {
            let host = match hosts.len() {
                0 => Host::Known(None),
                all if all == methods.len() => Host::Known(hosts.get(at).map(|host| comparable(host))),
                _ => Host::Unknown,
            };
            self.requests.push(Request {
                ends,
                method: comparable(method),
                target: comparable(target),
                host,
            });
            self.frames.push(Frame { protocols: protocols.clone(), is_fragmented });
        }
        Ok(())
    }

    /// Parses a line: what tshark found out about one packet.
    fn add_packet(&mut self, line: &str) -> Result<()> {
        let fields = split(line);
        let [protocols, ends @ .., number, syn, captured, on_wire, lost, checksum] = &fields[..] else {
            bail!("too few fields: {line}")
        };
        let protocols = protocols_of(protocols);
        // In the payload of an ICMP message, the ends are those of another packet.
        let Ok(ends) = ends_of(ends, &protocols) else { return Ok(()) };
        let is_http = protocols.iter().any(|name| name == "http");
        let stream = self.streams.entry(ends).or_default();
        stream.numbers.extend(number.last().map(|number| (*number).to_owned()));
        stream.has_syn |= syn.last().is_some_and(|flag| ["1", "True"].contains(flag));
        stream.lacks_bytes |= captured != on_wire || !lost.is_empty();
        stream.has_bad_checksum |= checksum.last() == Some(&"0");
        stream.is_http |= is_http;
        self.streams.entry(ends.reversed()).or_default().is_http |= is_http;
        Ok(())
    }
}

/// Splits a line into fields, and these into their values.
fn split(line: &str) -> Vec<Vec<&str>> {
    line.split('\t').map(|field| field.split(AGGREGATOR).filter(|it| !it.is_empty()).collect()).collect()
}

fn protocols_of(field: &[&str]) -> Vec<String> {
    field.first().into_iter().flat_map(|names| names.split(':')).map(str::to_owned).collect()
}

/// Returns the innermost ends of a packet.
fn ends_of(fields: &[Vec<&str>], protocols: &[String]) -> Result<Ends> {
    let [source, source6, port, destination, destination6, to_port] = fields else { bail!("not six fields") };
    let is_ip = |name: &&String| ["ip", "ipv6"].contains(&name.as_str());
    let is_6 = protocols.iter().rev().find(is_ip).is_some_and(|name| name == "ipv6");
    let last = |field: &[&str]| field.last().map(|value| (*value).to_owned()).context("a field is empty");
    let end = |four: &[&str], six: &[&str], port: &[&str]| -> Result<(IpAddr, u16)> {
        Ok((last(if is_6 { six } else { four })?.parse()?, last(port)?.parse()?))
    };
    Ok(Ends { client: end(source, source6, port)?, server: end(destination, destination6, to_port)? })
}

/// Returns a line for each frame that completes requests.
fn request_lines(file: &Path, settings: &[&str]) -> Result<Vec<String>> {
    let request = ["http.request.method", "http.request.uri", "http.host", "ip.fragments", "ipv6.fragments"];
    lines(file, settings, "http.request && tcp", &[&ENDS[..], &request].concat())
}

/// Runs tshark with these settings, and returns the lines of the packets that `filter` matches.
fn lines(file: &Path, settings: &[&str], filter: &str, fields: &[&str]) -> Result<Vec<String>> {
    let mut command = tshark(file);
    command.args(settings.iter().flat_map(|setting| ["-o", setting]));
    command.args(["-Y", filter, "-T", "fields", "-E", &format!("aggregator={AGGREGATOR}")]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().with_context(|| format!("{command:?}"))?;
    // tshark fails at the end of a damaged capture, after what precedes that.
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Returns a command that reads a capture with tshark.
pub(crate) fn tshark(file: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file);
    command
}

/// Returns the protocols below TCP that are no tunnel, or one that toa-tc reads.
pub(crate) fn is_read(protocol: &str) -> bool {
    const READ: [&str; 27] = [
        "eth",
        "ethertype",
        "vlan",
        "ieee8021ad",
        "ip",
        "ipv6",
        "ipv6.hopopts",
        "ipv6.dstopts",
        "ipv6.routing",
        "ipv6.fraghdr",
        "sll",
        "null",
        "raw",
        "llc",
        "mpls",
        "pwethcw",
        "pwethheuristic",
        "pppoes",
        "ppp",
        "gre",
        "erspan",
        "udp",
        "vxlan",
        "geneve",
        "gtp",
        "teredo",
        "ah",
    ];
    READ.contains(&protocol)
}

/// Returns the protocols of a request's frame that precede its TCP header.
pub(crate) fn below_tcp(frame: &Frame) -> &[String] {
    let tcp = frame.protocols.iter().rposition(|name| name == "tcp");
    tcp.and_then(|tcp| frame.protocols.get(..tcp)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::{ends, request};

    const LINE: &str = "eth:ethertype:ip:tcp:http\t10.9.0.1\t\t7\t10.9.0.2\t\t80\t";

    fn parse(rest: &str) -> Result<Theirs> {
        let mut theirs = Theirs::default();
        theirs.add_requests(&format!("{LINE}{rest}"))?;
        Ok(theirs)
    }

    fn with_host(target: &str, host: Host) -> Request {
        Request { host, ..request(7, target) }
    }

    #[test]
    fn a_line_has_all_requests_of_a_frame() {
        let two = parse("GET\x1fGET\t/1\x1f/2\ta\x1fb\t\t").unwrap();
        let host = |name: &str| Host::Known(Some(name.to_owned()));
        assert_eq!(two.requests, [with_host("/1", host("a")), with_host("/2", host("b"))]);
        assert_eq!(parse("GET\t/1\t\t\t").unwrap().requests, [request(7, "/1")]);
        let unknown = parse("GET\x1fGET\t/1\x1f/2\ta\t\t").unwrap().requests;
        assert_eq!(unknown, [with_host("/1", Host::Unknown), with_host("/2", Host::Unknown)]);
        assert!(parse("GET\x1fGET\t/1\ta\t\t").is_err());
    }

    #[test]
    fn the_ends_are_those_of_the_innermost_packet() {
        let mut theirs = Theirs::default();
        let line =
            "eth:ethertype:ipv6:gre:ip:tcp:http\t10.9.0.1\tfd00::1\t7\t10.9.0.2\tfd00::2\t80\tGET\t/\t\t\t5";
        theirs.add_requests(line).unwrap();
        let frame = &theirs.frames[0];
        assert_eq!((theirs.requests[0].ends, frame.is_fragmented), (ends(7), true));
        assert_eq!(below_tcp(frame).last().unwrap(), "ip");
        assert!(below_tcp(frame).iter().all(|name| is_read(name)) && !is_read("l2tp"));
    }

    #[test]
    fn packets_say_what_a_capture_lacks() {
        let mut theirs = Theirs::default();
        for rest in ["0\t1\t60\t60\t\t1", "0\t0\t60\t60\t\t1", "3\t0\t54\t60\t\t0"] {
            theirs.add_packet(&format!("{LINE}{rest}")).unwrap();
        }
        let numbers = ["0", "3"].map(str::to_owned).into();
        let all = Stream { numbers, is_http: true, has_syn: true, lacks_bytes: true, has_bad_checksum: true };
        assert_eq!(theirs.streams[&ends(7)], all);
        let back = Stream { is_http: true, ..Stream::default() };
        assert_eq!(theirs.streams[&ends(7).reversed()], back);
    }
}
