//! The shared code, compiled for the host, compared with tables and with the oracle.

use anyhow::Result;
use proptest::prelude::{ProptestConfig, proptest};
use toa_common::{
    config::Config,
    inspect::inspect,
    wire::{toa_pairs::ToaPairs, view::Link},
};
use toa_packets::{
    builder::PacketBuilder,
    fixtures::{
        strategies,
        vectors::{self, EXTENDED},
    },
    oracle::options::{USUAL, Wanted},
    selection,
    shared::captured,
};
use toa_tests::differential::{
    Differential, random_packets,
    tables::{self, agree},
};

/// Number of random cases of each kind.
const MANY: usize = 1_000_000;

#[test]
fn every_vector_yields_what_its_table_says() -> Result<()> {
    assert_eq!(tables::vectors(Differential::user_space)?, 4 * 60 * 3 * 2);
    Ok(())
}

#[test]
fn a_version_that_nobody_knows_names_nobody() -> Result<()> {
    assert_eq!(tables::versions(Differential::user_space)?, 2 * 256 * 4);
    Ok(())
}

#[test]
fn unusual_headers_yield_what_they_must() -> Result<()> {
    assert!(tables::headers(Differential::user_space)? > 80);
    Ok(())
}

#[test]
fn every_flow_belongs_to_whom_it_must() -> Result<()> {
    assert!(tables::flows(Differential::user_space)? > 1000);
    Ok(())
}

#[test]
fn only_the_cookie_that_could_be_a_toa_is_ambiguous() -> Result<()> {
    for vector in vectors::all()? {
        let frame = PacketBuilder::ipv4().options(&vector.options).build();
        let toa = inspect(&captured(&frame), Link::Ethernet, &Config::DEFAULT).unwrap().toa;
        assert_eq!(toa.is_some() && toa.is_ambiguous(), vector.id == "V27", "{}", vector.id);
    }
    Ok(())
}

#[test]
fn a_port_that_is_the_identifier_of_an_experiment_is_ambiguous() -> Result<()> {
    let (mut found, mut ambiguous) = (0, 0);
    for (kind, length) in EXTENDED {
        let selection = selection::with_config(Config::DEFAULT.with_pairs(ToaPairs::new(&EXTENDED)));
        for port in 0..=u16::MAX {
            let mut options = [[kind, length].as_slice(), &port.to_be_bytes()].concat();
            options.resize(usize::from(length).next_multiple_of(4), 1);
            let frame = PacketBuilder::ipv4().options(&options).build();
            let wanted = Wanted { pairs: &EXTENDED, last: false };
            let seen = agree(&frame, &selection, wanted)?.unwrap();
            found += u32::from(seen.pair.is_some());
            ambiguous += u32::from(seen.is_ambiguous);
        }
    }
    // Five of the layouts have one of these kinds: 254:8, 254:16, 254:20, 253:8 and 253:20.
    assert_eq!(ambiguous, 5 * 15);
    // All but 28:7, which has the version 1 in the byte where others have half of a port.
    assert_eq!(found, 13 * 65_536 + 256);
    Ok(())
}

#[test]
fn two_opinions_on_a_million_option_areas_agree() -> Result<()> {
    random_packets::areas(Differential::user_space, MANY)
}

#[test]
fn two_opinions_on_a_million_packets_agree() -> Result<()> {
    random_packets::packets(Differential::user_space, MANY)
}

proptest! {
    // Only a few, because these tests exist to shrink a failure to the smallest case.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_opinions_on_any_option_area_agree(frame in strategies::frame()) {
        agree(&frame, &selection::usual(), USUAL).unwrap().unwrap();
    }

    #[test]
    fn two_opinions_on_any_damaged_frame_agree(frame in strategies::damaged_frame()) {
        let _ = agree(&frame, &selection::usual(), USUAL).unwrap();
    }
}
