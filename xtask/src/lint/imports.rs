//! Import circles among the files of a crate, and imports that break its layers.
//!
//! Files that import each other can only be read together. Without circles, each file can be read after those
//! that it imports. A parent's imports of its children count as well. Unit tests are exempt and may import
//! anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, Macro, UseTree,
    visit::{self, Visit},
};

/// A folder of modules, and the modules of its crate that it must not import.
struct Layer {
    crate_directory: &'static str,
    module: &'static str,
    forbidden: fn(&str) -> bool,
}

const LAYERS: [Layer; 4] = [
    // Packets build on bytes, addresses and what the verifier needs, not on rules, flows or records.
    Layer {
        crate_directory: "toa-common/src",
        module: "wire",
        forbidden: |module| {
            !["wire", "address", "field", "limits", "seq", "skip_reason", "verifier"].contains(&module)
        },
    },
    Layer {
        crate_directory: "toa-userspace/src",
        module: "ledger",
        forbidden: |module| ["capture", "live", "pipeline", "print"].contains(&module),
    },
    Layer {
        crate_directory: "toa-userspace/src",
        module: "live",
        forbidden: |module| ["capture", "print"].contains(&module),
    },
    // The pipeline works without a kernel.
    Layer {
        crate_directory: "toa-userspace/src",
        module: "pipeline",
        forbidden: |module| ["capture", "live", "print"].contains(&module),
    },
];

/// The path of a module in its crate; empty for the root.
type ModulePath = Vec<String>;

/// Returns the problems of the imports among `files`.
pub(super) fn complaints(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (directory, modules) in crates(files) {
        let imports = imports(&modules)?;
        complaints.extend(circles(&directory, &modules, &imports));
        complaints.extend(broken_layers(&directory, &modules, &imports));
    }
    Ok(complaints)
}

/// Returns the modules of each crate, by the directory of its root. A library and a binary in the same
/// directory count as one crate.
fn crates(files: &[PathBuf]) -> BTreeMap<PathBuf, BTreeMap<ModulePath, PathBuf>> {
    let is_root = |file: &&PathBuf| file.ends_with("lib.rs") || file.ends_with("main.rs");
    let roots: BTreeSet<&Path> = files.iter().filter(is_root).filter_map(|file| file.parent()).collect();
    let mut crates = BTreeMap::new();
    for file in files {
        // The innermost root: binaries are below their library.
        let Some(directory) = file.ancestors().skip(1).find(|it| roots.contains(it)) else { continue };
        let Ok(below) = file.strip_prefix(directory) else { continue };
        let mut path: ModulePath =
            below.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
        if let [root] = path.as_slice()
            && ["lib", "main"].contains(&root.as_str())
        {
            path.clear();
        }
        let modules: &mut BTreeMap<_, _> = crates.entry(directory.to_owned()).or_default();
        modules.insert(path, file.clone());
    }
    crates
}

/// Returns what each module imports.
fn imports(modules: &BTreeMap<ModulePath, PathBuf>) -> Result<BTreeMap<&ModulePath, BTreeSet<&ModulePath>>> {
    let mut imports = BTreeMap::new();
    for (module, file) in modules.iter().filter(|(module, _)| !module.iter().any(|name| name == "tests")) {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let paths = paths(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        let targets = paths.iter().filter_map(|path| resolve(path, module, modules));
        imports.insert(module, targets.filter(|target| *target != module).collect());
    }
    Ok(imports)
}

/// Returns the module that a path refers to, if it is in this crate.
fn resolve<'a>(
    path: &[String],
    module: &ModulePath,
    modules: &'a BTreeMap<ModulePath, PathBuf>,
) -> Option<&'a ModulePath> {
    let mut absolute = module.clone();
    let mut names = path.iter().peekable();
    match names.peek()?.as_str() {
        "crate" => {
            absolute.clear();
            names.next();
        }
        "self" => _ = names.next(),
        "super" => {}
        child => {
            let child_path = [module.as_slice(), &[child.to_owned()]].concat();
            modules.get(&child_path)?;
        }
    }
    for name in names {
        if name == "super" { _ = absolute.pop() } else { absolute.push(name.clone()) }
    }
    // The path ends in an item. Its longest prefix that is a module contains it.
    (0..=absolute.len())
        .rev()
        .find_map(|len| modules.get_key_value(absolute.get(..len)?))
        .map(|(path, _)| path)
}

/// Returns the paths that a file uses outside of its unit tests.
fn paths(text: &str) -> syn::Result<Vec<Vec<String>>> {
    let mut paths = Paths::default();
    paths.visit_file(&syn::parse_file(text)?);
    Ok(paths.0)
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn add_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(&path.tree, prefix);
                prefix.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, prefix)),
            UseTree::Name(name) => self.0.push([prefix.as_slice(), &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.0.push([prefix.as_slice(), &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.0.push(prefix.clone()),
        }
    }

    /// Adds the paths in a macro's arguments, which syn does not parse.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => {
                    self.add_if_path(&mut path);
                    path.push(name.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.add_if_path(&mut path);
                    self.add_tokens(group.stream());
                }
                _ => self.add_if_path(&mut path),
            }
            colons = 0;
        }
        self.add_if_path(&mut path);
    }

    fn add_if_path(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.0.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Use(item) = item
            && !is_test(&item.attrs)
        {
            self.add_tree(&item.tree, &mut Vec::new());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"));
        attribute.path().is_ident("cfg") && is_test
    })
}

/// Returns one line for each import circle.
fn circles(
    directory: &Path,
    modules: &BTreeMap<ModulePath, PathBuf>,
    imports: &BTreeMap<&ModulePath, BTreeSet<&ModulePath>>,
) -> Vec<String> {
    let names: BTreeMap<_, _> = modules.keys().map(|module| (module, module.join("::"))).collect();
    let name = |module| names.get(module).map_or("", String::as_str);
    let mut graph = DiGraphMap::<&str, ()>::new();
    for (from, targets) in imports {
        for to in targets {
            graph.add_edge(name(from), name(to), ());
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|files| files.len() > 1);
    circles
        .map(|mut files| {
            files.sort_unstable();
            let files = files.iter().map(|file| if file.is_empty() { "the root" } else { file });
            let files = files.collect::<Vec<_>>().join(", ");
            format!("{}: these import each other in a circle: {files}", directory.display())
        })
        .collect()
}

/// Returns one line for each import that breaks [`LAYERS`].
fn broken_layers(
    directory: &Path,
    modules: &BTreeMap<ModulePath, PathBuf>,
    imports: &BTreeMap<&ModulePath, BTreeSet<&ModulePath>>,
) -> Vec<String> {
    let mut broken = Vec::new();
    for layer in LAYERS.iter().filter(|layer| Path::new(layer.crate_directory) == directory) {
        let is_in_layer = |module: &ModulePath| module.first().is_some_and(|name| name == layer.module);
        for (from, targets) in imports.iter().filter(|(from, _)| is_in_layer(from)) {
            for to in targets.iter().filter(|to| to.first().is_some_and(|name| (layer.forbidden)(name))) {
                let file = modules.get(*from).map(|file| file.display().to_string()).unwrap_or_default();
                broken.push(format!(
                    "{file}: must not import {}, which is above {}",
                    to.join("::"),
                    layer.module
                ));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate's modules into a new directory and checks them.
    fn lint(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            paths.push(path);
        }
        let prefix = format!("{}: ", directory.path().display());
        complaints(&paths)
            .unwrap()
            .iter()
            .map(|it| it.strip_prefix(&prefix).unwrap_or(it).to_owned())
            .collect()
    }

    const CIRCLE: &str = "these import each other in a circle: ";

    #[test]
    fn siblings_in_a_circle_are_found() {
        let root = ("lib.rs", "mod a; mod b; mod c;");
        let a = ("a.rs", "use crate::{b::B, c};");
        for b in ["use super::a::A;", "fn f() { crate::a::g() }", "fn f() { println!(\"{}\", super::a::X) }"]
        {
            assert_eq!(lint(&[root, a, ("b.rs", b), ("c.rs", "")]), [format!("{CIRCLE}a, b")], "{b}");
        }
        assert!(lint(&[root, a, ("b.rs", "use std::a::A;"), ("c.rs", "use crate::b::B;")]).is_empty());
    }

    #[test]
    fn a_child_that_imports_its_parent_is_in_a_circle_with_it() {
        let files =
            [("lib.rs", "mod a;"), ("a.rs", "mod b; pub use b::B; struct A;"), ("a/b.rs", "use super::A;")];
        assert_eq!(lint(&files), [format!("{CIRCLE}a, a::b")]);
        let files = [("lib.rs", "mod a; struct A;"), ("a.rs", "use crate::A;")];
        assert!(lint(&files).is_empty(), "declaring a module imports nothing of it");
    }

    #[test]
    fn unit_tests_may_import_anything() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        assert!(lint(&files).is_empty());
    }

    #[test]
    fn a_binary_is_a_crate_of_its_own() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", ""),
            ("bin/x/main.rs", "mod a; mod b;"),
            ("bin/x/a.rs", ""),
            ("bin/x/b.rs", "use crate::a::A;"),
        ];
        assert!(lint(&files).is_empty());
    }
}
