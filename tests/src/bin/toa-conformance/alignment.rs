//! Which requests of two programs are the same.

use std::collections::BTreeSet;

use crate::request::{Ends, Request};

/// A request that only one of the programs has, or that they have differently.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Difference<'a> {
    /// Only toa-tc has it.
    OnlyOurs(&'a Request),
    /// Only tshark has it.
    OnlyTheirs(&'a Request),
    /// Its line or its host differs.
    Differs(&'a Request, &'a Request),
}

/// Returns the differences, connection by connection and in the order of requests.
pub(crate) fn differences<'a>(ours: &'a [Request], theirs: &'a [Request]) -> Vec<Difference<'a>> {
    let connections: BTreeSet<Ends> = ours.iter().chain(theirs).map(|request| request.ends).collect();
    let of = |side: &'a [Request], ends| side.iter().filter(|it| it.ends == ends).collect::<Vec<_>>();
    connections.into_iter().flat_map(|ends| align(&of(ours, ends), &of(theirs, ends))).collect()
}

/// Aligns the requests of a connection by their longest common subsequence.
fn align<'a>(mut ours: &[&'a Request], mut theirs: &[&'a Request]) -> Vec<Difference<'a>> {
    // Most connections have no difference.
    while let ([one, ours_after @ ..], [other, theirs_after @ ..]) = (ours, theirs)
        && one.agrees(other)
    {
        (ours, theirs) = (ours_after, theirs_after);
    }
    while let ([ours_before @ .., one], [theirs_before @ .., other]) = (ours, theirs)
        && one.agrees(other)
    {
        (ours, theirs) = (ours_before, theirs_before);
    }
    let common = Common::new(ours, theirs);
    let (mut at, mut place, mut found) = (0, 0, Vec::new());
    while at < ours.len() || place < theirs.len() {
        match (ours.get(at), theirs.get(place)) {
            (Some(one), Some(other)) if one.agrees(other) => (at, place) = (at + 1, place + 1),
            (Some(one), Some(other))
                if one.resembles(other) && common.len(at + 1, place + 1) == common.len(at, place) =>
            {
                found.push(Difference::Differs(one, other));
                (at, place) = (at + 1, place + 1);
            }
            (Some(one), other)
                if other.is_none() || common.len(at + 1, place) >= common.len(at, place + 1) =>
            {
                found.push(Difference::OnlyOurs(one));
                at += 1;
            }
            (_, other) => {
                found.extend(other.map(|other| Difference::OnlyTheirs(other)));
                place += 1;
            }
        }
    }
    found
}

/// Most cells of a [`Common`]. Beyond that, requests are only compared in order.
const MAX_CELLS: usize = 1 << 24;

/// The lengths of the longest common subsequences of what follows each place of both sides.
struct Common {
    cells: Vec<u32>,
    width: usize,
}

impl Common {
    fn new(ours: &[&Request], theirs: &[&Request]) -> Self {
        let width = theirs.len();
        let cells = Some(ours.len().saturating_mul(width)).filter(|cells| *cells <= MAX_CELLS).unwrap_or(0);
        let mut common = Self { cells: vec![0; cells], width };
        for (at, one) in ours.iter().enumerate().rev() {
            for (place, other) in theirs.iter().enumerate().rev() {
                let len = if one.agrees(other) {
                    common.len(at + 1, place + 1) + 1
                } else {
                    common.len(at + 1, place).max(common.len(at, place + 1))
                };
                if let Some(cell) = common.cells.get_mut(at * width + place) {
                    *cell = len;
                }
            }
        }
        common
    }

    fn len(&self, at: usize, place: usize) -> u32 {
        let is_end = place >= self.width;
        if is_end { 0 } else { self.cells.get(at * self.width + place).copied().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Host, tests::request};

    #[test]
    fn the_order_of_connections_does_not_matter_and_that_of_requests_does() {
        let ours = [request(7, "/1"), request(8, "/2"), request(7, "/3")];
        let same = [ours[1].clone(), ours[0].clone(), ours[2].clone()];
        assert_eq!(differences(&ours, &same), []);
        let swapped = [ours[2].clone(), ours[0].clone(), ours[1].clone()];
        assert_eq!(differences(&ours, &swapped).len(), 2);
    }

    #[test]
    fn one_missing_request_is_one_difference() {
        let all: Vec<Request> = (0..5).map(|number| request(7, &number.to_string())).collect();
        for missing in 0..5 {
            let mut rest = all.clone();
            let one = rest.remove(missing);
            assert_eq!(differences(&all, &rest), [Difference::OnlyOurs(&one)]);
            assert_eq!(differences(&rest, &all), [Difference::OnlyTheirs(&one)]);
        }
    }

    #[test]
    fn a_request_with_another_host_differs() {
        let (ours, mut theirs) =
            (vec![request(7, "/1"), request(7, "/2")], vec![request(7, "/1"), request(7, "/2")]);
        assert_eq!(differences(&ours[..1], &theirs[1..]).len(), 2);
        theirs[0].host = Host::Known(Some("a".to_owned()));
        assert_eq!(differences(&ours, &theirs), [Difference::Differs(&ours[0], &theirs[0])]);
    }
}
