//! The shared code, compiled for the host, compared with tables and with the oracle.

use anyhow::Result;
use proptest::prelude::{ProptestConfig, proptest};
use toa_common::{config::Config, inspect::inspect, wire::view::Link};
use toa_packets::{
    builder::PacketBuilder,
    fixtures::{strategies, vectors},
    oracle::options::USUAL,
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
    assert_eq!(tables::vectors(Differential::user_space)?, 4 * 55 * 3 * 2);
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
