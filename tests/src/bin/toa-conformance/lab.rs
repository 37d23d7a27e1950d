//! The comparison for captures of real programs, which send requests to a real nginx.

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::tcpdump::Capture,
};

use crate::{
    comparison::{check_as_pcapng, compare},
    programs,
};

/// Compares the requests of every program and returns the number of differences.
pub(crate) fn compare_all() -> Result<usize> {
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
        let compared = compare(file.path()).with_context(|| program.name.to_owned())?;
        check_as_pcapng(file.path()).with_context(|| program.name.to_owned())?;
        ensure!(compared.ours >= program.least, "{}: only {} requests", program.name, compared.ours);
        println!("{}: {} requests, {} differences", program.name, compared.ours, compared.differences.len());
        compared.print();
        requests += compared.ours;
        // Nothing is missing in these captures, so no cause is good enough.
        differences += compared.differences.len();
    }
    println!("{requests} requests compared with tshark, {differences} differences");
    Ok(differences)
}
