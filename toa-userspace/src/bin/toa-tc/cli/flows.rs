//! The arguments of `flows`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use toa_userspace::rule::Rule;

use super::{
    existing::Existing,
    run::{ReportFormat, RunArgs},
};

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("established").args(["existing", "connections"]))]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Show all established connections and their real clients instead
    #[arg(
        long,
        value_enum,
        value_name = "force",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes",
        conflicts_with_all = ["iface", "pid", "pin_dir"],
        hide_possible_values = true,
        long_help = "Show all established connections and their real clients instead\n\nWithout attaching. Needs \
                     an earlier toa-tc remember, or a loaded TOA kernel module. --existing=force does so even if that \
                     resets the cgroup-v1 net_cls/net_prio class of the servers' sockets."
    )]
    pub(crate) existing: Option<Existing>,

    /// Show them with the clients of the balancer's own table instead
    ///
    /// The output of ipvsadm -lnc of DPVS, or lines with the client's and the balancer's own IP:PORT; - is stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["iface", "pid", "pin_dir"])]
    pub(crate) connections: Option<PathBuf>,

    /// With --existing or --connections, show those of another network namespace
    ///
    /// A name of ip netns, a path, or the ID of a process.
    #[arg(
        long,
        value_name = "NAME|PATH|PID",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        requires = "established",
        hide_short_help = true
    )]
    pub(crate) netns: Option<String>,

    #[arg(
        value_name = "RULE",
        help = "Show only connections of these clients: IP, CIDR, IP:PORT, [IPv6]:PORT, :PORT or any"
    )]
    pub(crate) rules: Vec<Rule>,

    /// Show only connections whose client no TOA names
    ///
    /// These call directly, or through balancers that do not mark them. Only attach --any-flow follows them.
    #[arg(long, conflicts_with_all = ["existing", "rules"])]
    pub(crate) without_toa: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
