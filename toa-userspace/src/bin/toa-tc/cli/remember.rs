//! The arguments of `remember`.

use std::path::PathBuf;

use clap::Args;

use super::{run::ReportFormat, toa::ToaArgs};

#[derive(Args, Debug)]
pub(crate) struct RememberArgs {
    /// Only connections to the servers of this cgroup and those below it
    ///
    /// A directory in a cgroup2 file system [default: the root cgroup].
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) toa: ToaArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
