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

    /// Show every established connection instead, by asking the servers' own sockets for their real clients, without
    /// attaching; =force also where that changes their cgroup-v1 class of network traffic
    #[arg(
        long,
        value_enum,
        value_name = "force",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes",
        conflicts_with_all = ["iface", "pid"]
    )]
    pub(crate) existing: Option<Existing>,

    /// With --existing: only connections of these real clients
    #[arg(value_name = "RULE", requires = "existing")]
    pub(crate) rules: Vec<Rule>,

    /// How they are printed
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}
