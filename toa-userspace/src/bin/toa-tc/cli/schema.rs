//! The arguments of `schema`.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// Which schema to print
    #[arg(value_enum, default_value_t = SchemaOf::Events)]
    pub(crate) of: SchemaOf,
}

/// What prints JSON.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The lines of attach, clients and read
    Events,
    /// The lines of all other commands
    Commands,
}
