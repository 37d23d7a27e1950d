//! The examples at the end of each command's `--help`.

pub(crate) const TOA_TC: &str = "\
Examples:
  sudo toa-tc clients eth0                      # which clients are there
  sudo toa-tc attach eth0 --ip 203.0.113.9      # what a client requests
  toa-tc read capture.pcap                      # the requests of a capture

Each command has more with --help.";

pub(crate) const ATTACH: &str = "\
Examples:
  sudo toa-tc attach eth0 --ip 203.0.113.9 --ip 198.51.100.0/24
  sudo toa-tc attach 'eth*' --any -o json --duration 1h > requests.jsonl
  sudo toa-tc attach eth0 --existing --any      # also what is already open
  sudo toa-tc attach -D                         # lists the interfaces

Exit code: 0 if the run ended as asked, 1 on a failure, 2 on a usage error";

pub(crate) const CLIENTS: &str = "\
Examples:
  sudo toa-tc clients eth0                      # until Ctrl-C
  sudo toa-tc clients eth0 --duration 10m
  sudo toa-tc clients 'eth*' --ip 203.0.113.0/24

Exit code: 0 if the run ended as asked, 1 on a failure, 2 on a usage error";

pub(crate) const TOP_KEYS: &str = "\
Show a table by client, path or header

Requests and connections by client, path or value of a header field, or by combinations, such as client,header:x-team \
[default: client]. Can be repeated: the first table is shown, and all are printed at the end.";

pub(crate) const TOP: &str = "\
Examples:
  sudo toa-tc top eth0                          # until q
  sudo toa-tc top eth0 --summary-by client,header:x-team
  sudo toa-tc top 'eth*' --ip 203.0.113.0/24

Keys: q or Ctrl-C ends it; arrows, PgUp and PgDn scroll; s sorts by another
column: requests, requests per second, last seen

Exit code: 0 if the run ended as asked, 1 on a failure, 2 on a usage error,
also where there is no terminal";

pub(crate) const READ: &str = "\
Examples:
  toa-tc read capture.pcap
  toa-tc read capture.pcap0 capture.pcap1 --ip 203.0.113.9 -o json
  tcpdump -U -i eth0 -w - tcp | toa-tc read - --any

Exit code: 0 if a request was printed, or on a signal, 1 on a failure,
2 on a usage error, 3 if none was";

pub(crate) const WATCH: &str = "\
Examples:
  sudo toa-tc watch list
  sudo toa-tc watch add 203.0.113.9 198.51.100.0/24
  sudo toa-tc watch remove 203.0.113.9 --iface eth0";

pub(crate) const WATCH_ADD: &str = "\
Examples:
  sudo toa-tc watch add 203.0.113.9
  sudo toa-tc watch add 198.51.100.0/24 '[2001:db8::7]:443'
  sudo toa-tc watch add any --iface eth0
  sudo toa-tc watch add - < clients.txt";

pub(crate) const WATCH_REMOVE: &str = "\
Examples:
  sudo toa-tc watch remove 203.0.113.9
  sudo toa-tc watch remove 198.51.100.0/24 '[2001:db8::7]:443'
  sudo toa-tc watch rm any --pid 4242";

pub(crate) const WATCH_LIST: &str = "\
Examples:
  sudo toa-tc watch list
  sudo toa-tc watch ls --iface eth0
  sudo toa-tc watch list --pid 4242 > rules.txt

Exit code: 0 if there is a rule, 1 on a failure, 2 on a usage error,
3 if there is none";

pub(crate) const WATCH_CLEAR: &str = "\
Examples:
  sudo toa-tc watch clear
  sudo toa-tc watch clear --iface eth0
  sudo toa-tc watch clear --pid 4242";

pub(crate) const STATUS: &str = "\
Examples:
  sudo toa-tc status
  sudo toa-tc status --iface eth0
  sudo toa-tc status -o json | jq '.runs[].pid'
  sudo toa-tc status -o prometheus > /var/lib/node_exporter/toa-tc.prom

Exit code: 0 if a run is attached, 1 on a failure, 2 on a usage error,
3 if none is";

pub(crate) const FLOWS: &str = "\
Examples:
  sudo toa-tc flows
  sudo toa-tc flows 203.0.113.9                 # those of one client
  sudo toa-tc flows --existing 203.0.113.0/24
  ipvsadm -lnc | sudo toa-tc flows --connections -

Exit code: 0 if a connection is shown, 1 on a failure, 2 on a usage error,
3 if there is none";

pub(crate) const DETACH: &str = "\
Examples:
  sudo toa-tc detach
  sudo toa-tc detach eth0
  sudo toa-tc detach --pin-dir /sys/fs/bpf/toa";

pub(crate) const REMEMBER: &str = "\
Examples:
  sudo toa-tc remember
  sudo toa-tc remember --cgroup /sys/fs/cgroup/system.slice/nginx.service
  sudo toa-tc remember --toa tencent";

pub(crate) const FORGET: &str = "\
Examples:
  sudo toa-tc forget
  sudo toa-tc forget && sudo toa-tc remember    # begins anew";

pub(crate) const DOCTOR: &str = "\
Examples:
  sudo toa-tc doctor
  toa-tc doctor                                 # which privileges you lack
  sudo toa-tc doctor -o json";

pub(crate) const FILTER: &str = "\
Examples:
  toa-tc filter 203.0.113.9 '[2001:db8::7]:443'
  tcpdump -ni eth0 \"$(toa-tc filter 203.0.113.9 -o json | jq -r .tcpdump)\"
  toa-tc filter --wireshark-lua > toa.lua
  tshark -X lua_script:toa.lua -r capture.pcap";

pub(crate) const WATCH_SET: &str = "\
Examples:
  sudo toa-tc watch set clients.txt
  ./clients-of-today | sudo toa-tc watch set -
  sudo toa-tc watch set clients.txt --iface eth0 -o json";

pub(crate) const SCHEMA: &str = "\
Examples:
  toa-tc schema > toa-tc.schema.json
  toa-tc schema commands | jq '.[\"$defs\"] | keys'";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  source <(toa-tc completions bash)
  toa-tc completions zsh > ~/.zfunc/_toa-tc
  toa-tc completions fish > ~/.config/fish/completions/toa-tc.fish";

pub(crate) const MAN: &str = "\
Examples:
  toa-tc man /usr/local/share/man/man1";
