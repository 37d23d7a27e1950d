//! Import circles among the files of a crate, and imports that break its layers.
//!
//! A file that can only be read together with the files that import it is not a module but a part of one. So that
//! every file can be read after what it imports, the graph of imports has no circles, a parent's imports of its
//! children included. Unit tests do not count: they may build on anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, ItemMod, Macro, UseTree,
    visit::{self, Visit},
};

/// Modules and those of the same crate that they must not import.
const LAYERS: [(&str, &str, &[&str]); 3] = [
    ("toa-common/src", "wire", ABOVE_WIRE),
    ("toa-userspace/src", "ledger", &["print", "pipeline", "capture", "live"]),
    ("toa-userspace/src", "live", &["print", "http", "stream", "pipeline"]),
];

/// Everything in `toa-common` that is not `wire`.
const ABOVE_WIRE: &[&str] = &[];

/// The files of one crate by module path.
type Modules = BTreeMap<Vec<String>, PathBuf>;
