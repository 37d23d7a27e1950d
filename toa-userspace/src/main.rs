//! `toa-tc`.
fn main() {}
