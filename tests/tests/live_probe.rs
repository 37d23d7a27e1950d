//! The kernel's program and user space share their source, and find and decide the same for every packet.
#![cfg(feature = "kernel")]

use anyhow::Result;
use toa_tests::differential::{Differential, random_packets, tables};

/// Number of random cases of each kind.
const MANY: usize = 1_000_000;

#[test]
fn the_kernel_reads_every_vector_as_its_table_says() -> Result<()> {
    assert_eq!(tables::vectors(Differential::with_kernel)?, 4 * 60 * 3 * 2);
    Ok(())
}

#[test]
fn the_kernel_knows_no_other_version() -> Result<()> {
    assert_eq!(tables::versions(Differential::with_kernel)?, 2 * 256 * 4);
    Ok(())
}

#[test]
fn the_kernel_reads_unusual_headers_as_it_must() -> Result<()> {
    assert!(tables::headers(Differential::with_kernel)? > 80);
    Ok(())
}

#[test]
fn the_kernel_follows_every_flow_as_it_must() -> Result<()> {
    assert!(tables::flows(Differential::with_kernel)? > 1000);
    Ok(())
}

#[test]
fn the_kernel_follows_what_nothing_names() -> Result<()> {
    assert!(tables::unnamed(Differential::with_kernel)? > 2000);
    Ok(())
}

#[test]
fn the_kernel_reads_a_million_option_areas_like_the_host() -> Result<()> {
    random_packets::areas(Differential::with_kernel, MANY)
}

#[test]
fn the_kernel_reads_a_million_packets_like_the_host() -> Result<()> {
    random_packets::packets(Differential::with_kernel, MANY)
}
