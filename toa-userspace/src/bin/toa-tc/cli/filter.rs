//! The arguments of `filter`.

use clap::Args;
use toa_userspace::rule::Rule;

use super::{run::ReportFormat, toa::ToaArgs};

#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// The clients to find.
    #[arg(
        value_name = "RULE",
        required_unless_present = "wireshark_lua",
        conflicts_with = "wireshark_lua",
        help = "IP, CIDR, IP:PORT, [IPv6]:PORT, :PORT or any"
    )]
    pub(crate) rules: Vec<Rule>,

    #[command(flatten)]
    pub(crate) toa: ToaArgs,

    /// Print a dissector for Wireshark and tshark instead
    ///
    /// A script in Lua, which shows the client on all packets of its connection, as toa.client.address and toa.client.port.
    #[arg(long, conflicts_with = "output")]
    pub(crate) wireshark_lua: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
