//! The options that say which TCP options are TOA.

use clap::{Args, ValueEnum};
use toa_common::config::Config;
use toa_userspace::toa_options::ToaOptions;

use crate::error::UsageError;

#[derive(Args, Debug)]
pub(crate) struct ToaArgs {
    /// Treat these TCP options as TOA: 254:8, lvs, ...
    ///
    /// KIND:LEN, where kinds are decimal or hexadecimal, or one of the profiles default, lvs, dpvs, tencent, alibaba, ucloud,
    /// huawei, akamai, netscaler, f5, all [default: default]. Can be repeated.
    #[arg(long, value_name = "OPTION")]
    toa: Vec<ToaOptions>,

    /// Use the first or the last TOA of a packet
    #[arg(long, value_enum, default_value_t = ToaPick::First, value_name = "WHICH", hide_short_help = true)]
    toa_pick: ToaPick,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ToaPick {
    /// For balancers that insert TOA before other options
    First,
    /// For balancers that append TOA
    Last,
}

impl ToaArgs {
    /// Returns the settings that these options choose.
    pub(crate) fn config(&self) -> Result<Config, UsageError> {
        let pairs = ToaOptions::pairs(&self.toa).map_err(|error| UsageError(error.to_string()))?;
        let config = Config::DEFAULT.with_pairs(pairs);
        Ok(if self.toa_pick == ToaPick::Last { config.picking_last() } else { config })
    }
}
