//! Finds what was probably meant by a mistyped name.

use strsim::{jaro, osa_distance};

/// Least similarity (Jaro) of a suggestion, as in `clap`.
const ENOUGH: f64 = 0.7;

/// Returns the one of `names` that is most similar to `typed`, if one is similar enough.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of names as short as those of interfaces and profiles, Jaro does not see that two letters are swapped.
    let rated = names.into_iter().map(|name| match osa_distance(typed, name) {
        0..=1 if typed.len() > 2 => (1.0, name),
        _ => (jaro(typed, name), name),
    });
    rated.filter(|(rate, _)| *rate > ENOUGH).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_found_and_another_is_not() {
        assert_eq!(nearest("wbe0", ["lo", "eth0", "web0"]), Some("web0"));
        assert_eq!(nearest("lsv", ["default", "dpvs", "lvs"]), Some("lvs"));
        assert_eq!(nearest("eth1", ["lo"]), None);
        assert_eq!(nearest("eth1", []), None);
    }
}
