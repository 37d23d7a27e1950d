//! The arguments of `attach`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use jiff::SignedDuration;
use toa_common::config::Config;
use toa_userspace::live::program::attachments::Wanted;

use super::{
    bounds::BoundArgs,
    existing::Existing,
    number::{duration, size},
    pin_dir::PinDirArgs,
    results::ResultArgs,
    rotation::RotationArgs,
    select::SelectArgs,
    tls::TlsServer,
    verbosity::VerbosityArgs,
};
use crate::{error::UsageError, otlp::Endpoint};

#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    /// Interfaces on which the balancer's packets arrive
    ///
    /// Names, or quoted patterns such as 'eth*'. Those that appear later, or come back, are attached to as well.
    #[arg(required_unless_present = "list_interfaces", value_name = "IFACE", hide_short_help = true)]
    pub(crate) interfaces: Vec<Wanted>,

    /// List the interfaces with their addresses, and exit
    #[arg(short = 'D', long)]
    pub(crate) list_interfaces: bool,

    /// Work on the interfaces and sockets of another network namespace
    ///
    /// A name as in ip netns, a path, or the ID of a process.
    #[arg(
        long,
        value_name = "NAME|PATH|PID",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        hide_short_help = true
    )]
    pub(crate) netns: Option<String>,

    /// Attach as a netlink filter even where TCX is possible, as on kernels before Linux 6.6
    #[arg(long, hide_short_help = true)]
    pub(crate) netlink: bool,

    #[command(flatten)]
    pub(crate) pins: PinDirArgs,

    #[command(flatten, next_help_heading = "Selection")]
    pub(crate) select: SelectArgs,

    /// Also follow connections that are already open
    #[arg(
        help_heading = "Selection",
        long,
        value_enum,
        value_name = "force",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes",
        hide_possible_values = true,
        long_help = "Also follow connections that are already open\n\nNeeds an earlier toa-tc remember, or a \
                     loaded TOA kernel module. --existing=force does so even if that resets the cgroup-v1 \
                     net_cls/net_prio class of the servers' sockets."
    )]
    pub(crate) existing: Option<Existing>,

    /// Also follow open connections whose clients are in the balancer's own table
    ///
    /// The output of ipvsadm -lnc of DPVS, or lines with the client's and the balancer's own IP:PORT; - is stdin.
    #[arg(help_heading = "Selection", long, value_name = "FILE", hide_short_help = true)]
    pub(crate) connections: Option<PathBuf>,

    /// Also read the plaintext of TLS connections, in the servers' TLS library
    ///
    /// OpenSSL and what has its functions, by uprobes, in all processes that listen on the servers' ports, or in those with
    /// the library of a process, or of a file. Of followed connections only. Reads passwords and cookies, too: they are
    /// redacted as ever.
    #[arg(
        help_heading = "Selection",
        long,
        value_name = "PID|PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        hide_short_help = true
    )]
    pub(crate) tls: Option<TlsServer>,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) results: ResultArgs,

    /// Append results to this file instead of printing them
    ///
    /// SIGHUP opens it again. - is stdout.
    #[arg(help_heading = "Output", long, value_name = "FILE", hide_short_help = true)]
    pub(crate) output_file: Option<PathBuf>,

    /// Also write packets to this pcapng file
    ///
    /// Those of followed connections, bodies included, each with its real client as comment. With -, they go to stdout, and
    /// no results are printed.
    #[arg(help_heading = "Output", short = 'w', value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) rotation: RotationArgs,

    /// Stop after this time, such as 30s, 5m or 1d
    #[arg(help_heading = "Output", long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    pub(crate) duration: Option<SignedDuration>,

    /// Use a ring buffer of this size per CPU, a power of two such as 1M [default: 256K to 16M, by the number of CPUs]
    ///
    /// A larger one absorbs longer bursts. A K is 1024 bytes.
    #[arg(help_heading = "Limits", long, value_name = "SIZE", value_parser = ring_size, hide_short_help = true)]
    pub(crate) ring_size: Option<usize>,

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) bounds: BoundArgs,

    /// Serve metrics for Prometheus over HTTP at this address
    ///
    /// PORT or :PORT listens on 127.0.0.1 only, IP:PORT on that address. The path is /metrics.
    #[arg(help_heading = "Output", long, value_name = "ADDR", value_parser = address, hide_short_help = true)]
    pub(crate) metrics: Option<SocketAddr>,

    /// Also send the printed requests to this OpenTelemetry collector
    ///
    /// As log records, by OTLP over HTTP without TLS. Needs a build with the feature otlp.
    #[arg(help_heading = "Output", long, value_name = "URL", hide_short_help = true)]
    pub(crate) otlp: Option<Endpoint>,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) verbosity: VerbosityArgs,

    /// Create this file once attached
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) ready_file: Option<PathBuf>,
}

impl AttachArgs {
    /// Returns the settings that are fixed before the first packet.
    pub(crate) fn config(&self) -> Result<Config, UsageError> {
        let config = self.select.live_config()?;
        Ok(if self.write.is_some() { config.copying_whole() } else { config })
    }
}

/// Parses the address for metrics. A port alone is one that other hosts cannot reach.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse().map(|port| (Ipv4Addr::LOCALHOST, port).into());
    port.or_else(|_| text.parse())
        .map_err(|_| "not an address such as 9464, :9464, 10.9.0.2:9464 or [::1]:9464".to_owned())
}

fn ring_size(text: &str) -> Result<usize, String> {
    let bytes = size(text, 1 << 12..=1 << 30)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() => Ok(bytes),
        _ => Err("not a power of two, such as 256K or 1M".to_owned()),
    }
}
