//! The command `filter`: prints filters of other programs.

use anyhow::Result;
use serde_json::json;
use toa_userspace::{
    filter::{Filters, lua::dissector},
    print::push_fmt,
};

use super::hint_at_ports;
use crate::{
    cli::{filter::FilterArgs, run::ReportFormat},
    error::UsageError,
    printer::print,
};

/// What the user must know.
const NOTES: &str = "\
These filters look at one packet at a time. They do not
- follow a connection: only its few packets with TOA match, which are rarely those with requests
- find connections that were open before the capture began
- look behind IPv6 extension headers, or into tunnels; for tagged packets, tcpdump needs 'vlan and (...)'
- know which of several TOA in a packet is used, or whether the bytes are in another option or after the last one
To see requests, capture whole connections (tcpdump -w) and use toa-tc read.
";

/// Runs the command.
pub(crate) fn run(args: FilterArgs) -> Result<()> {
    let config = args.toa.config()?;
    if args.wireshark_lua {
        return print(&dissector(config.pairs().selected(), config.picks_last()));
    }
    hint_at_ports(&args.rules);
    let mut rules = args.rules;
    rules.sort_unstable();
    rules.dedup();
    let pairs: Vec<_> = config.pairs().selected().collect();
    let filters = Filters::new(&rules, &pairs)
        .map_err(|rule| UsageError(format!("no selected TOA can name {rule}: select others with --toa")))?;
    print(&match args.output {
        ReportFormat::Text => text(&filters),
        ReportFormat::Json => json(&filters),
    })
}

fn text(filters: &Filters) -> String {
    let mut text = format!(
        "tcpdump expression:\n{}\n\nWireshark display filter:\n{}\n\nkind, length, port and address in hex:\n",
        filters.tcpdump, filters.wireshark
    );
    for pattern in &filters.patterns {
        push_fmt(
            &mut text,
            format_args!("  {}  {}:{}  {pattern}\n", pattern.rule, pattern.kind, pattern.length()),
        );
    }
    text.push('\n');
    text.push_str(NOTES);
    text
}

fn json(filters: &Filters) -> String {
    let options = filters.patterns.iter().map(|pattern| {
        json!({
            "rule": pattern.rule.to_string(),
            "toa": { "kind": pattern.kind, "length": pattern.length() },
            "bytes": pattern.to_string(),
        })
    });
    let options: Vec<_> = options.collect();
    format!("{}\n", json!({ "tcpdump": filters.tcpdump, "wireshark": filters.wireshark, "options": options }))
}
