//! The terminal sessions of `cargo xtask sessions`: records them, or with `--check` compares them with the files. The
//! variable `TOA_TC` names the binary to record.

use std::{env, process::ExitCode};

use anyhow::{Result, bail};
use toa_tests::recording::sessions::record;

/// Exit code for usage errors.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => save(),
        ["--check"] => check(),
        _ => {
            eprintln!("usage: toa-sessions [--check]");
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn save() -> Result<()> {
    for recording in record()? {
        recording.save()?;
        println!("{}", recording.path().display());
    }
    Ok(())
}

fn check() -> Result<()> {
    for recording in record()? {
        if !recording.is_up_to_date()? {
            bail!("{} is out of date: run cargo xtask sessions", recording.path().display());
        }
        println!("{}: up to date", recording.path().display());
    }
    Ok(())
}
