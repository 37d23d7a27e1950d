//! How a run was started and what its counters count, for people.

use std::fmt;

use toa_common::counters::Counter;
use toa_userspace::{live::runs::settings::Settings, print::escape::Escaped};

/// Most balancers and ports that are shown.
const MAX_SHOWN: usize = 8;

/// How a run was started, as lines.
pub(super) struct About<'a>(pub(super) &'a Settings);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { command_line, user, toa, toa_pick, balancers, server_ports, .. } = self.0;
        let words: Vec<_> = command_line.iter().map(|word| quoted(word)).collect();
        let name = user.name.as_ref().map_or_else(|| user.id.to_string(), |name| quoted(name));
        let more = if self.0.truncated { " …" } else { "" };
        writeln!(f, "  started by {name}: {}{more}", words.join(" "))?;
        let toa: Vec<_> = toa.iter().map(|layout| format!("{}:{}", layout.kind, layout.length)).collect();
        write!(f, "  TOA {}, the {toa_pick} of a packet, ", toa.join(" "))?;
        match &balancers[..] {
            [] => writeln!(f, "from every source")?,
            some => writeln!(f, "from {} only", shown(some))?,
        }
        if !server_ports.is_empty() {
            writeln!(f, "  only connections to {}", shown(server_ports))?;
        }
        if self.0.existing {
            writeln!(f, "  also connections that were open before (--existing)")?;
        }
        if self.0.any_flow {
            writeln!(f, "  also connections without TOA (--any-flow)")?;
        }
        if self.0.tls {
            writeln!(f, "  also the plaintext of TLS connections (--tls)")?;
        }
        writeln!(f, "  output: {}", self.0.output)
    }
}

/// Returns the first items of a list.
fn shown<T: fmt::Display>(items: &[T]) -> String {
    let first: Vec<_> = items.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
    match items.len().saturating_sub(MAX_SHOWN) {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}

/// Returns a word as a shell reads it, without control characters.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+[]".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else if word.chars().any(char::is_control)
        || Escaped(word.as_bytes()).to_string() != word.replace('\\', r"\\")
    {
        // With the escapes of `$'...'`, which bash and others read.
        format!("$'{}'", Escaped(word.as_bytes()).to_string().replace('\'', r"\'"))
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Returns what a counter counts, to follow its name.
pub(super) fn explain(counter: Counter) -> String {
    let text = counter.description().trim_ascii().trim_end_matches('.').replace('`', "").replace(". ", "; ");
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        // Not an abbreviation.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use toa_userspace::live::runs::settings::{Layout, User};

    use super::*;

    #[test]
    fn a_command_line_can_be_repeated() {
        let settings = Settings {
            command_line: ["toa-tc", "attach", "eth*", "--ip", "[2001:db8::7]:443", "a\x1b"]
                .map(str::to_owned)
                .into(),
            user: User { id: 1000, name: None },
            toa: vec![Layout { kind: 254, length: 8 }, Layout { kind: 253, length: 20 }],
            toa_pick: "first".to_owned(),
            server_ports: (1..=9).collect(),
            output: "json".to_owned(),
            ..Settings::default()
        };
        let text = About(&settings).to_string();
        let expected = "  started by 1000: toa-tc attach 'eth*' --ip [2001:db8::7]:443 $'a\\x1b'\n  TOA 254:8 253:20, the \
                        first of a packet, from every source\n  only connections to 1 2 3 4 5 6 7 8 and 1 more\n  output: \
                        json\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_counter_is_explained_in_a_line() {
        for counter in Counter::ALL {
            let text = explain(*counter);
            assert!(text.len() > 10 && !text.contains(['\n', '`']) && !text.ends_with('.'), "{text}");
        }
        assert_eq!(explain(Counter::Learned), "connections that began to be followed");
        assert_eq!(explain(Counter::NotTcp), "IP packets that are not TCP");
    }
}
