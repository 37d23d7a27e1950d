//! A dissector in Lua, by which Wireshark and tshark show the client.

use std::fmt::Write as _;

use toa_common::wire::{
    toa::{address_at, has_ipv6},
    toa_pairs::{has_port, has_version},
};

/// The dissector without the layouts of the options.
const TEMPLATE: &str = include_str!("toa.lua");
/// Where they belong.
const PLACE: &str = "-- LAYOUTS\n";

/// What the dissector has if the first option of a packet counts, and what if the last one does.
const PICKS_FIRST: &str = "local PICKS_LAST = false";
const PICKS_LAST: &str = "local PICKS_LAST = true";

/// Returns the dissector for options of these kinds and lengths. `picks_last` selects the last one of a packet, not the
/// first.
pub fn dissector(pairs: impl Iterator<Item = (u8, u8)>, picks_last: bool) -> String {
    let mut layouts = String::new();
    for (kind, length) in pairs {
        let port = if has_port(kind, length) { "2" } else { "nil" };
        let version = if has_version(kind, length) && length == 7 { "1" } else { "nil" };
        // Writing to a string does not fail.
        let _ = writeln!(
            layouts,
            "  [\"{kind}:{length}\"] = {{ address = {}, is_ipv6 = {}, port = {port}, version = {version} }},",
            address_at(kind, length),
            has_ipv6(kind, length)
        );
    }
    let script = TEMPLATE.replace(PLACE, &layouts);
    if picks_last { script.replace(PICKS_FIRST, PICKS_LAST) } else { script }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selected_option_has_its_layout() {
        let script = dissector([(254, 8), (28, 7), (28, 18)].into_iter(), true);
        for layout in [
            r#"["254:8"] = { address = 4, is_ipv6 = false, port = 2, version = nil },"#,
            r#"["28:7"] = { address = 3, is_ipv6 = false, port = nil, version = 1 },"#,
            r#"["28:18"] = { address = 2, is_ipv6 = true, port = nil, version = nil },"#,
            PICKS_LAST,
        ] {
            assert!(script.contains(layout), "{script}");
        }
        assert!(!script.contains(PLACE));
    }
}
