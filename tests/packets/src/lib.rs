//! Packets for tests and fuzz targets: a builder, tables of packets with expected results, random packets,
//! and an independent oracle that shares no code with what is tested.

pub mod builder;
pub mod capture_file;
pub mod fixtures;
pub mod observation;
pub mod oracle;
pub mod segment;
pub mod selection;
pub mod shared;
pub mod toa_option;
