//! The comparison that `cargo xtask conformance` runs: real programs ask a real nginx, tcpdump captures both directions,
//! and of each capture `toa-tc read --any-flow` and tshark must tell the same requests. Responsible for the order of
//! things and for the result. Not responsible for building anything: the variable `TOA_TC` says where the tool is.

mod programs;
mod requests;

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::tcpdump::Capture,
};

/// How long all of it may take.
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

/// Compares what is told of every program and returns how many differences there are.
fn compare_all() -> Result<usize> {
    let mut lab = Lab::new(Habit::FirstData)?;
    let _nginx = lab.nginx()?;
    let (mut requests, mut differences) = (0, 0);
    for program in programs::ALL {
        let capture = Capture::start_both_ways(&lab.server, "tcp port 80")?;
        (program.run)(&mut lab).with_context(|| program.name.to_owned())?;
        // tcpdump writes in order: with the end of one more connection, everything before it is in the file.
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

/// Ends the process after the limit, unless what is returned is dropped before. What is running ends with it.
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
