//! Responsible for diagnostics: lines on stderr that begin with our name. Not responsible for results.

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

/// Starts the diagnostics that were asked for so many times, ours and the kernel's.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new()
        // Ours and the kernel program's, which begin alike; not every library's.
        .filter_module("toa_", level)
        .format(|out, record| {
            writeln!(out, "toa-tc: {}: {}", record.level().as_str().to_lowercase(), record.args())
        })
        .init();
}
