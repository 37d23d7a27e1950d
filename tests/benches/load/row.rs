//! The rows of the table: what runs beside nginx.

/// Stands for the name of nginx's device in a command.
pub(crate) const DEVICE: &str = "DEVICE";
/// Stands for a folder for results in a command.
pub(crate) const RESULTS: &str = "RESULTS";

/// A row.
#[derive(Debug)]
pub(crate) struct Row {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whose requests are to be shown.
    pub(crate) shows: Shows,
    /// What runs.
    pub(crate) program: Program,
}

/// Whose requests a program should show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shows {
    /// Those of a client that does not connect.
    None,
    /// Those of one of the connections.
    One,
    /// All.
    All,
    /// It stores all packets, and shows nothing.
    Stores,
}

/// A program.
#[derive(Debug)]
pub(crate) enum Program {
    /// `toa-tc attach`, with these options.
    ToaTc(&'static [&'static str]),
    /// Another, as a shell starts it, and how it begins.
    Peer(&'static str, Begins),
}

/// How a peer begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Begins {
    /// It opens a packet socket.
    WithSocket,
    /// Its first line is `ready`.
    WithLine,
}

/// What nginx receives, by tracepoints, whose names need a file system that may not be mounted. A string has at most 200
/// bytes.
const BPFTRACE: &str = r#"mount -t tracefs tracefs /sys/kernel/tracing
exec env BPFTRACE_STRLEN=200 bpftrace -e '
BEGIN { printf("ready\n"); }
tracepoint:syscalls:sys_enter_recvfrom /comm == "nginx"/ { @to[tid] = args->ubuf; }
tracepoint:syscalls:sys_exit_recvfrom /@to[tid]/ {
    if (args->ret > 0) { printf("%d %s\n", pid, str(@to[tid], args->ret)); }
    delete(@to[tid]);
}' > RESULTS/out"#;

/// All rows. Only packets to nginx are shown, by the same filter where a program takes one. Results go to files.
pub(crate) const ROWS: [Row; 11] = [
    Row {
        name: "toa-tc, nothing matches",
        shows: Shows::None,
        program: Program::ToaTc(&["--ip", "192.0.2.1"]),
    },
    Row {
        name: "toa-tc, 1 % watched, text",
        shows: Shows::One,
        program: Program::ToaTc(&["--ip", "203.0.113.1"]),
    },
    Row {
        name: "toa-tc, 1 % watched, JSON",
        shows: Shows::One,
        program: Program::ToaTc(&["--ip", "203.0.113.1", "--output", "json"]),
    },
    Row { name: "toa-tc, 100 % watched, text", shows: Shows::All, program: Program::ToaTc(&["--any"]) },
    Row {
        name: "toa-tc, 100 % watched, JSON",
        shows: Shows::All,
        program: Program::ToaTc(&["--any", "--output", "json"]),
    },
    Row {
        name: "tcpdump -A",
        shows: Shows::All,
        program: Program::Peer(
            "exec tcpdump -n -i DEVICE -A tcp dst port 80 > RESULTS/out",
            Begins::WithSocket,
        ),
    },
    Row {
        name: "tcpdump -w",
        shows: Shows::Stores,
        program: Program::Peer(
            "exec tcpdump -n -i DEVICE -Z root -w RESULTS/out tcp dst port 80",
            Begins::WithSocket,
        ),
    },
    Row {
        name: "tshark",
        shows: Shows::All,
        program: Program::Peer(
            "exec tshark -n -i DEVICE -f 'tcp dst port 80' -Y http.request -T fields -e frame.time_epoch -e ip.src \
             -e tcp.srcport -e http.request.method -e http.request.uri -e http.request.line > RESULTS/out",
            Begins::WithSocket,
        ),
    },
    Row {
        name: "ngrep",
        shows: Shows::All,
        program: Program::Peer(
            "exec ngrep -q -d DEVICE -W byline '^(GET|POST) ' tcp dst port 80 > RESULTS/out",
            Begins::WithSocket,
        ),
    },
    Row {
        name: "tcpflow",
        shows: Shows::All,
        program: Program::Peer("exec tcpflow -i DEVICE -o RESULTS tcp dst port 80", Begins::WithSocket),
    },
    Row { name: "bpftrace", shows: Shows::All, program: Program::Peer(BPFTRACE, Begins::WithLine) },
];
