//! `attach --list-interfaces`: lists the interfaces that `attach` could attach to.

use anyhow::{Context as _, Result};
use toa_userspace::{
    live::host::{addresses, links, namespace},
    print::{escape::Escaped, table::table},
};

use crate::printer::print;

/// Runs the command in the given network namespace.
pub(crate) fn run(netns: Option<&str>) -> Result<()> {
    if let Some(name) = netns {
        namespace::enter(name)?;
    }
    let links = links::list().context("cannot list the interfaces")?;
    let addresses = addresses::list().context("cannot list the addresses")?;
    let rows = links.iter().map(|link| {
        let own = addresses.iter().filter(|it| it.interface == link.index);
        let own: Vec<_> = own.map(|it| it.address.to_string()).collect();
        [escaped(&link.name), link.state.to_string(), escaped(&link.kind), own.join(" ")]
    });
    let mut text = String::new();
    table(&mut text, "", &["interface", "state", "kind", "addresses"], rows);
    print(&text)
}

/// Returns a name, which whoever has rights in the namespace has chosen, without control characters.
fn escaped(name: &str) -> String {
    Escaped(name.as_bytes()).to_string()
}
