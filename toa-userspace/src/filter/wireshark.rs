//! Display filters of Wireshark (`wireshark-filter(4)`).

use super::pattern::{MaskedByte, Pattern};

/// Returns the filter for packets that have one of the options.
pub(super) fn display_filter(patterns: &[Pattern]) -> String {
    let options: Vec<_> = patterns.iter().map(option).collect();
    options.join(" or ")
}

fn option(pattern: &Pattern) -> String {
    if pattern.is_exact() {
        let bytes: Vec<_> = pattern.bytes.iter().map(|byte| format!("{:02x}", byte.value)).collect();
        return format!("tcp.options contains {}", bytes.join(":"));
    }
    let bytes: String = pattern.bytes.chunk_by(|a, b| a == b).map(run).collect();
    // Dots match every byte, and letters of either case differ.
    format!("tcp.options matches r\"(?s-i){bytes}\"")
}

/// Returns the expression for equal bytes.
fn run(bytes: &[MaskedByte]) -> String {
    let Some(MaskedByte { value, mask }) = bytes.first() else { return String::new() };
    let byte = match mask {
        0xff => format!("\\x{value:02x}"),
        0 => ".".to_owned(),
        mask => format!("[\\x{value:02x}-\\x{:02x}]", value | !mask),
    };
    if *mask == 0 && bytes.len() > 1 { format!(".{{{}}}", bytes.len()) } else { byte.repeat(bytes.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_may_be_any_are_dots() {
        let filter = |rules: &[&str], kind, length| {
            let patterns =
                rules.iter().map(|rule| Pattern::new(&rule.parse().unwrap(), kind, length).unwrap());
            display_filter(&patterns.collect::<Vec<_>>())
        };
        let both = "tcp.options contains fe:08:00:50:cb:00:71:09 or tcp.options matches \
                    r\"(?s-i)\\xfe\\x08\\x00\\x50.{4}\"";
        assert_eq!(filter(&["203.0.113.9:80", ":80"], 254, 8), both);
        let prefix = r#"tcp.options matches r"(?s-i)\xc8\x08.{2}\xcb\x00[\x70-\x7f].""#;
        assert_eq!(filter(&["203.0.112.0/20"], 200, 8), prefix);
    }
}
