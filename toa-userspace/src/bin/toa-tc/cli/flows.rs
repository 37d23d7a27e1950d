//! The arguments of `flows`.

use clap::Args;
use toa_userspace::rule::Rule;

use super::{
    existing::Existing,
    run::{ReportFormat, RunArgs},
};

#[derive(Args, Debug)]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[arg(
        long,
        value_enum,
        value_name = "force",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes",
        conflicts_with_all = ["iface", "pid"],
        help = "Show all established connections and their real clients instead, without attaching (needs a loaded \
                TOA kernel module). With =force, do so even if that resets the cgroup-v1 net_cls/net_prio class of \
                the servers' sockets"
    )]
    pub(crate) existing: Option<Existing>,

    /// With --existing, show only connections of these clients
    #[arg(value_name = "RULE", requires = "existing")]
    pub(crate) rules: Vec<Rule>,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}
