//! Diagnostics: lines on stderr that begin with `toa-tc:`.

use std::{
    fmt,
    io::{self, Write},
};

use log::LevelFilter;

/// Writes one line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // Nothing can be done if stderr is gone.
    _ = io::stderr().write_all(format!("toa-tc: {text}\n").as_bytes());
}

/// Enables the diagnostics for this number of `-v` options, ours and the kernel program's.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new()
        // Only our crates and the kernel program, which share this prefix, and no other libraries.
        .filter_module("toa_", level)
        .format(|out, record| {
            writeln!(out, "toa-tc: {}: {}", record.level().as_str().to_lowercase(), record.args())
        })
        .init();
}
