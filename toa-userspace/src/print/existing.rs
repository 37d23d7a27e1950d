//! The results of a scan of existing connections, as text for people.

use std::fmt;

use super::{count::Count, count::plural, push_fmt};
use crate::{
    error_chain::ErrorChain,
    live::existing::{Counts, OtherNamespaces, UnknownReason, module::Module, sockets::SocketsError},
};

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

/// Says how many connections are known to have come through something that marks TCP options.
pub fn describe_marked(counts: &Counts) -> String {
    let (marked, total) = (counts.saw_unknown, counts.total());
    if total == 0 {
        return "no connection, so none that came through something that marks TCP options".to_owned();
    }
    let rest = if marked == total { "" } else { "; not known of the others" };
    let connections = if total == 1 { "connection" } else { "connections" };
    format!(
        "{} of {} {connections} came through something that marks TCP options{rest}",
        Count(marked),
        Count(total)
    )
}

/// Says why the kernel's memory of sockets was not read.
pub fn describe_without_memory(error: &SocketsError) -> String {
    format!(
        "cannot read sockets in the kernel's memory, so only servers' sockets were queried, and marked connections are \
         not known: {}",
        ErrorChain(error)
    )
}

/// Explains why sockets named no client other than their peer. Returns `None` if there is nothing to explain: all named
/// one, or some did and nothing special is known of the others.
pub fn explain_unknown(counts: &Counts, module: &Module) -> Option<String> {
    let same = counts.of(UnknownReason::Same);
    if same == 0 {
        return None;
    }
    // If an IPv6 listener's connection has a client, the module serves them.
    let is_ipv4_only = module.counts_ipv6 == Some(false) && counts.named_ipv6 == 0;
    let unserved = if is_ipv4_only { counts.same_ipv6 } else { 0 };
    if counts.named > 0 && unserved == 0 && counts.same_saw_unknown == 0 {
        return None;
    }
    let subject = if counts.named == 0 {
        "no socket knows a real client".to_owned()
    } else {
        let sockets = plural(same, "socket");
        format!("{sockets} {} no real client", if same == 1 { "knows" } else { "know" })
    };
    let mut causes = Vec::new();
    if unserved > 0 {
        let connections = plural(unserved, "connection");
        causes.push(format!(
            "{connections} of IPv6 listeners, which the module toa does not serve, as it counts no IPv6 addresses (a \
             listener for IPv4 alone would be served)"
        ));
    }
    if unserved < same {
        causes.push(explain_others(counts, module));
    }
    Some(format!("{subject}: {}", causes.join("; ")))
}

/// Explains why sockets that a module serves, if there is one, named no client.
fn explain_others(counts: &Counts, module: &Module) -> String {
    // What is true of all must be true of those that are known to be marked.
    let is_marked = counts.same_saw_unknown == counts.of(UnknownReason::Same);
    let or_direct = if is_marked { "" } else { ", or no client came through a balancer" };
    let mut text = match (module.is_loaded, module.with_toa) {
        (false, _) => {
            let or_direct = if is_marked { "" } else { "; or no client came through a balancer" };
            format!(
                "no TOA module is loaded, so only the balancer's own table (--connections) can name these (new ones are \
                 named by their TOA option, and toa-tc remember keeps that for later){or_direct}"
            )
        }
        (true, Some(0)) => format!(
            "the module toa is loaded, but has seen no TOA: it expects another option, or the balancer marks only SYNs, \
             or these connections are older than the module{or_direct}"
        ),
        (true, with_toa) => {
            let seen =
                with_toa.map_or_else(String::new, |count| format!(" and has seen {} TOA", Count(count)));
            format!(
                "the module toa is loaded{seen}, so these connections are older than the module, or their balancer marks \
                 only SYNs or with another option{or_direct}"
            )
        }
    };
    let marked = counts.same_saw_unknown;
    if marked > 0 {
        let of = if is_marked { "all".to_owned() } else { Count(marked).to_string() };
        push_fmt(&mut text, format_args!(" ({of} of them came through something that marks TCP options)"));
    }
    text
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
    use crate::live::existing::{NamedBy, RealClient, Traits};

    #[test]
    fn every_reason_that_occurred_is_named() {
        let mut counts = Counts::default();
        for (times, reason) in UnknownReason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.add(&Err(reason), Traits::default()));
        }
        let text = Tally(&counts).to_string();
        assert!(text.starts_with("0 with a known client; 1 unknown: kTLS"), "{text}");
        assert!(text.ends_with("; 8 from a source not listed with --lb"), "{text}");
        counts.refused_processes = 2;
        assert!(Tally(&counts).to_string().ends_with("descriptors of 2 processes"));
    }

    /// Returns counts of connections whose sockets named only their peers.
    fn same(traits: &[Traits]) -> Counts {
        let mut counts = Counts::default();
        for traits in traits {
            counts.add(&Err(UnknownReason::Same), *traits);
        }
        counts
    }

    const PLAIN: Traits = Traits { is_ipv6: false, saw_unknown: false };
    const MARKED: Traits = Traits { saw_unknown: true, ..PLAIN };
    const IPV6: Traits = Traits { is_ipv6: true, ..PLAIN };
    const LOADED: Module =
        Module { is_loaded: true, with_toa: Some(15), without_toa: Some(2), counts_ipv6: Some(true) };
    const IPV4_ONLY: Module = Module { counts_ipv6: Some(false), ..LOADED };

    fn named(mut counts: Counts, traits: Traits) -> Counts {
        let address = ([203, 0, 113, 9], 54321).into();
        counts.add(&Ok(RealClient { address, named_by: NamedBy::Module }), traits);
        counts
    }

    #[test]
    fn unknown_clients_are_explained() {
        assert_eq!(explain_unknown(&Counts::default(), &Module::default()), None);
        let explain = |module| explain_unknown(&same(&[PLAIN]), &module).unwrap();
        assert!(explain(LOADED).contains("has seen 15 TOA, so these connections are older"));
        let no_toa = explain(Module { with_toa: Some(0), ..LOADED });
        assert!(no_toa.contains("has seen no TOA") && no_toa.contains("marks only SYNs"), "{no_toa}");
        assert!(explain(Module { with_toa: None, ..LOADED }).contains("loaded, so these"));
        assert!(explain(Module::default()).contains("no TOA module is loaded"));
    }

    #[test]
    fn what_is_known_to_be_marked_is_not_called_direct() {
        for module in [LOADED, Module { with_toa: Some(0), ..LOADED }, Module::default()] {
            let explain = |traits: &[Traits]| explain_unknown(&same(traits), &module).unwrap();
            assert!(explain(&[PLAIN]).ends_with("no client came through a balancer"));
            let all = explain(&[MARKED, MARKED]);
            assert!(!all.contains("no client came"), "{all}");
            assert!(all.ends_with("(all of them came through something that marks TCP options)"), "{all}");
            let some = explain(&[MARKED, PLAIN]);
            assert!(some.contains("no client came") && some.contains("(1 of them came through"), "{some}");
        }
    }

    #[test]
    fn ipv6_listeners_that_the_module_does_not_serve_are_the_cause() {
        let text = explain_unknown(&same(&[IPV6, IPV6]), &IPV4_ONLY).unwrap();
        assert!(
            text.contains("2 connections of IPv6 listeners, which the module toa does not serve"),
            "{text}"
        );
        assert!(!text.contains("older") && !text.contains("no client came"), "{text}");
        // The module counts IPv6 addresses, or has named the client of such a connection.
        for (counts, module) in [(same(&[IPV6]), LOADED), (named(same(&[IPV6, MARKED]), IPV6), IPV4_ONLY)] {
            let text = explain_unknown(&counts, &module).unwrap();
            assert!(text.contains("older") && !text.contains("IPv6 listeners"), "{text}");
        }
        let both = explain_unknown(&same(&[IPV6, PLAIN]), &IPV4_ONLY).unwrap();
        assert!(both.contains("1 connection of IPv6 listeners") && both.contains("older"), "{both}");
    }

    #[test]
    fn some_known_clients_do_not_hide_what_is_known_of_the_others() {
        assert_eq!(explain_unknown(&named(same(&[PLAIN]), PLAIN), &LOADED), None);
        let text = explain_unknown(&named(same(&[PLAIN, MARKED]), PLAIN), &LOADED).unwrap();
        assert!(text.starts_with("2 sockets know no real client: "), "{text}");
        let text = explain_unknown(&named(same(&[IPV6]), PLAIN), &IPV4_ONLY).unwrap();
        assert!(text.starts_with("1 socket knows no real client: 1 connection of IPv6 listeners"), "{text}");
    }

    #[test]
    fn the_total_of_marked_connections_is_described() {
        assert!(describe_marked(&Counts::default()).starts_with("no connection"));
        let describe = |traits: &[Traits]| describe_marked(&same(traits));
        let all = "2 of 2 connections came through something that marks TCP options";
        assert_eq!(describe(&[MARKED, MARKED]), all);
        assert!(describe(&[MARKED, PLAIN]).ends_with("; not known of the others"));
        assert!(describe(&[PLAIN]).starts_with("0 of 1 connection came"));
    }
}
