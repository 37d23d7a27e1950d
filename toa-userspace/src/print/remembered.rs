//! What `toa-tc remember` counted, as text for people.

use toa_common::remembered::RememberCounts;

use super::{
    count::{Count, plural},
    push_fmt,
};

/// Describes the counts: `the clients of 4 of 5 connections were noted; 1 had unknown options, but no TOA`.
pub fn describe(counts: &RememberCounts) -> String {
    let accepted = plural(counts.accepted, "connection");
    let mut text = format!("the clients of {} of {accepted} were noted", Count(counts.named));
    for (count, what) in [
        (counts.given_up, "had unknown options, but no TOA"),
        (counts.failed, "could not be noted for want of memory"),
    ] {
        if count > 0 {
            push_fmt(&mut text, format_args!("; {} {what}", Count(count)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_that_is_not_zero_is_told() {
        let mut counts = RememberCounts { accepted: 2_000, named: 1_000, ..RememberCounts::default() };
        assert_eq!(describe(&counts), "the clients of 1,000 of 2,000 connections were noted");
        (counts.given_up, counts.failed) = (3, 1);
        let text = describe(&counts);
        assert!(
            text.ends_with("; 3 had unknown options, but no TOA; 1 could not be noted for want of memory"),
            "{text}"
        );
    }
}
