//! The results of a scan of existing connections, as text for people.

use std::fmt;

use super::{count::Count, count::plural};
use crate::live::existing::{Counts, OtherNamespaces, UnknownReason, module::Module};

/// Describes why a client is not known.
pub fn describe(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::Same => "unknown: the socket names only its peer",
        UnknownReason::KernelTls => "unknown: kTLS hides the module's answer",
        UnknownReason::Queued => "not accepted yet",
        UnknownReason::Closed => "closed during the scan",
        UnknownReason::Denied => "no permission to query the owner",
        UnknownReason::Unseen => "owner process not visible",
        UnknownReason::ConnectedOut => "outbound (local ephemeral port)",
        UnknownReason::OtherPort => "not on a --server-port",
        UnknownReason::NoBalancer => "from a source not listed with --lb",
    }
}

/// The results of a scan: `4 with a known client; 1 not accepted yet`.
#[derive(Debug)]
pub struct Tally<'a>(pub &'a Counts);

impl fmt::Display for Tally<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0;
        write!(f, "{} with a known client", Count(counts.named))?;
        for reason in UnknownReason::ALL {
            let count = counts.of(reason);
            if count > 0 {
                write!(f, "; {} {}", Count(count), describe(reason))?;
            }
        }
        // They are of interest only if an owner was not found.
        if counts.of(UnknownReason::Unseen) > 0 && counts.refused_processes > 0 {
            write!(
                f,
                "; no permission to list the descriptors of {} processes",
                Count(counts.refused_processes)
            )?;
        }
        Ok(())
    }
}

/// Explains why no socket named a client other than its peer. Returns `None` if that is not what the scan found.
pub fn explain_unknown(counts: &Counts, module: &Module) -> Option<String> {
    if counts.named > 0 || counts.of(UnknownReason::Same) == 0 {
        return None;
    }
    let cause = match (module.is_loaded, module.with_toa) {
        (false, _) => {
            "no TOA module is loaded, so open connections cannot be identified (new ones can, by their \
                       TOA option); or no client came through a balancer"
                .to_owned()
        }
        (true, Some(0)) => {
            "the module toa is loaded, but has seen no TOA: it expects another option, or no client \
                            came through a balancer"
                .to_owned()
        }
        (true, with_toa) => {
            let seen =
                with_toa.map_or_else(String::new, |count| format!(" and has seen {} TOA", Count(count)));
            format!(
                "the module toa is loaded{seen}, so these connections are older than the module, or no client came \
                 through a balancer"
            )
        }
    };
    Some(format!("no socket knows a real client: {cause}"))
}

/// Describes the sockets in other network namespaces, if there are any.
pub fn describe_other_namespaces(others: &OtherNamespaces) -> Option<String> {
    let OtherNamespaces { sockets, namespaces } = *others;
    (sockets > 0).then(|| {
        let (sockets, namespaces) =
            (plural(sockets, "TCP socket"), plural(namespaces, "other network namespace"));
        format!("not scanned: {sockets} in {namespaces}, perhaps of containers")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_occurred_is_named() {
        let mut counts = Counts::default();
        for (times, reason) in UnknownReason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.add(&Err(reason)));
        }
        let text = Tally(&counts).to_string();
        assert!(text.starts_with("0 with a known client; 1 unknown: kTLS"), "{text}");
        assert!(text.ends_with("; 8 from a source not listed with --lb"), "{text}");
        counts.refused_processes = 2;
        assert!(Tally(&counts).to_string().ends_with("descriptors of 2 processes"));
    }

    #[test]
    fn unknown_clients_are_explained() {
        let mut counts = Counts::default();
        assert_eq!(explain_unknown(&counts, &Module::default()), None);
        counts.add(&Err(UnknownReason::Same));
        let explain = |module| explain_unknown(&counts, &module).unwrap();
        let loaded = Module { is_loaded: true, with_toa: Some(15) };
        assert!(explain(loaded).contains("has seen 15 TOA, so these connections are older"));
        assert!(explain(Module { with_toa: Some(0), ..loaded }).contains("has seen no TOA"));
        assert!(explain(Module { with_toa: None, ..loaded }).contains("loaded, so these"));
        assert!(explain(Module::default()).contains("no TOA module is loaded"));
    }
}
