//! The comparison that `cargo xtask conformance` runs. Real programs send requests to a real nginx, tcpdump
//! captures both directions, and `toa-tc read --any-flow` and tshark must find the same requests in each
//! capture. The variable `TOA_TC` names the binary to test.

mod programs;
mod requests;

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::tcpdump::Capture,
};

/// Timeout of the whole comparison.
const LIMIT: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let in_time = limit();
    let compared = compare_all();
    drop(in_time);
    match compared {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Compares the requests of every program and returns the number of differences.
fn compare_all() -> Result<usize> {
    let mut lab = Lab::new(Habit::FirstData)?;
    let _nginx = lab.nginx()?;
    let (mut requests, mut differences) = (0, 0);
    for program in programs::ALL {
        let capture = Capture::start_both_ways(&lab.server, "tcp port 80")?;
        (program.run)(&mut lab).with_context(|| program.name.to_owned())?;
        // tcpdump writes in order: once the end of one more connection is in the file, everything before it
        // is, too.
        let bound = lab.bind()?;
        let port = bound.local().port();
        drop(bound.connect(nginx_address())?);
        let file = capture.file_at_end_of(port)?;
        let (ours, theirs) = (requests::of_tool(file.path())?, requests::of_tshark(file.path())?);
        let again = requests::of_tool_as_pcapng(file.path())?;
        ensure!(again == ours, "{}: as pcapng, the same capture has other requests", program.name);
        ensure!(ours.len() >= program.least, "{}: only {} requests", program.name, ours.len());
        let found = requests::differences(&ours, &theirs);
        println!("{}: {} requests, {} differences", program.name, ours.len(), found.len());
        for difference in &found {
            println!("    {difference}");
        }
        requests += ours.len();
        differences += found.len();
    }
    println!("{requests} requests compared with tshark, {differences} differences");
    Ok(differences)
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
