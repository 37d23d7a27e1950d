//! The command `schema`: prints the JSON Schemas.

use anyhow::Result;

use crate::{
    cli::schema::{SchemaArgs, SchemaOf},
    printer::print,
};

/// The schema of what `attach`, `clients` and `read` print.
const EVENTS: &str = include_str!("../../../../schema/toa-tc.schema.json");

/// The schema of what the other commands print.
const COMMANDS: &str = include_str!("../../../../schema/commands.schema.json");

/// Runs the command.
pub(crate) fn run(args: &SchemaArgs) -> Result<()> {
    print(match args.of {
        SchemaOf::Events => EVENTS,
        SchemaOf::Commands => COMMANDS,
    })
}
