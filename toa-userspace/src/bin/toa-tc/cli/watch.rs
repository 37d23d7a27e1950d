//! The arguments of `watch`.

use std::{path::PathBuf, str::FromStr};

use anyhow::Result;
use clap::{Args, Subcommand};
use toa_userspace::rule::{Rule, RuleError};

use super::{
    examples,
    run::{ReportFormat, RunArgs},
};
use crate::rule_list;

#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct WatchArgs {
    #[command(subcommand)]
    pub(crate) change: Change,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Add rules
    ///
    /// A connection is followed from its next packet with TOA; open ones at once if attach runs with --existing.
    #[command(after_long_help = examples::WATCH_ADD)]
    Add {
        #[arg(
            required = true,
            value_name = "RULE",
            help = "IP, CIDR, IP:PORT, [IPv6]:PORT, :PORT or any; - for stdin"
        )]
        rules: Vec<RuleArg>,
        #[command(flatten)]
        run: WatchedRun,
    },
    /// Remove rules and drop their connections, unless another rule matches
    ///
    /// Rules that are not watched are reported, and are no failure.
    #[command(visible_alias = "rm", after_long_help = examples::WATCH_REMOVE)]
    Remove {
        /// A rule as printed by 'watch list'
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        run: WatchedRun,
    },
    /// Replace all rules by those of a file
    ///
    /// Drops connections that none of them matches. New rules are added before old ones are removed, so that clients of both are watched without interruption.
    #[command(after_long_help = examples::WATCH_SET)]
    Set {
        /// A rule on each line, # begins a comment; - for stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        run: WatchedRun,
    },
    /// Print the rules, one per line
    #[command(visible_alias = "ls", after_long_help = examples::WATCH_LIST)]
    List {
        #[command(flatten)]
        run: WatchedRun,
    },
    /// Remove all rules and drop all connections
    #[command(after_long_help = examples::WATCH_CLEAR)]
    Clear {
        #[command(flatten)]
        run: WatchedRun,
    },
}

impl Change {
    /// Returns the run whose rules to show or change, and how to print that.
    pub(crate) fn run(&self) -> &WatchedRun {
        let (Self::Add { run, .. }
        | Self::Remove { run, .. }
        | Self::Set { run, .. }
        | Self::List { run }
        | Self::Clear { run }) = self;
        run
    }
}

/// The run whose rules to show or change, and how to print that.
#[derive(Args, Debug)]
pub(crate) struct WatchedRun {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}

/// A rule, or where to read rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RuleArg {
    Rule(Rule),
    Stdin,
}

impl RuleArg {
    /// Returns the rules of all arguments, where `-` means those of stdin.
    pub(crate) fn rules(arguments: &[Self]) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for argument in arguments {
            match argument {
                Self::Rule(rule) => rules.push(*rule),
                Self::Stdin => rules.extend(rule_list::read("-".as_ref())?),
            }
        }
        Ok(rules)
    }
}

impl FromStr for RuleArg {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text == "-" { Ok(Self::Stdin) } else { text.parse().map(Self::Rule) }
    }
}
