//! The comparison that `cargo xtask conformance` runs. `toa-tc read --any-flow` and tshark must find the same requests
//! in captures: those of real programs that send requests to a real nginx, or with `--captures` those in a folder. The
//! variable `TOA_TC` names the binary to test.

mod alignment;
mod captures;
mod cause;
mod comparison;
mod lab;
mod ours;
mod programs;
mod request;
mod theirs;

use std::{env, path::Path, process::ExitCode, sync::mpsc, thread, time::Duration};

/// Timeout of the comparison in the lab.
const LIMIT: Duration = Duration::from_secs(2 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let compared = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let _in_time = limit();
            lab::compare_all()
        }
        ["--captures", directory] => captures::compare_all(Path::new(directory)),
        _ => {
            eprintln!("usage: toa-conformance [--captures DIR]");
            return ExitCode::from(2);
        }
    };
    match compared {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Exits the process after the limit unless the returned value is dropped first. Its children end with it.
fn limit() -> mpsc::Sender<()> {
    let (told, in_time) = mpsc::channel::<()>();
    thread::spawn(move || {
        if in_time.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("error: the comparison did not end within {LIMIT:?}");
            std::process::exit(1);
        }
    });
    told
}
