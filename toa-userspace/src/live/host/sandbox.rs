//! What a run gives up: capabilities, system calls and files that it needs no more. Packets are parsed afterwards.
//!
//! Capabilities and Landlock apply to threads. [`enter_thread`] is called when a thread starts, and leaves it without
//! capabilities. [`enter`] is called by the main thread once everything is attached, and leaves it those of its duties.
//! The filter of system calls applies to all threads.

use log::debug;
use rustix::thread::set_no_new_privs;

use crate::error_chain::ErrorChain;

mod capabilities;
mod duties;
mod error;
mod files;
mod system_calls;

pub use duties::Duties;
pub use error::SandboxError;

/// Gives up everything that this thread does not need, as one that neither attaches nor detaches.
pub fn enter_thread() {
    // What is impossible here is impossible for the main thread, which reports it.
    let _ = capabilities::drop_all_but(&capabilities::of_every_thread());
    let _ = set_no_new_privs(true);
    let _ = files::restrict(&Duties::default());
}

/// Gives up everything that is not needed to send to this TCP port.
pub fn enter_sender(port: u16) {
    let _ = capabilities::drop_all_but(&capabilities::of_every_thread());
    let _ = set_no_new_privs(true);
    let _ = files::restrict(&Duties { connects: Some(port), ..Duties::default() });
}

/// Gives up everything that is not needed to open perf events.
pub fn enter_opener() {
    let _ = capabilities::drop_all_but(&capabilities::of_opener());
    let _ = set_no_new_privs(true);
    let _ = files::restrict(&Duties::default());
    let _ = system_calls::restrict_opener();
}

/// Gives up everything that the run does not need for its duties. Threads that are started later inherit that. What the
/// kernel refuses is a diagnostic: the run works without it.
pub fn enter(duties: &Duties) {
    capabilities::unlimit_locked_memory();
    let kept = capabilities::of(duties);
    let results = [
        capabilities::drop_all_but(&kept),
        set_no_new_privs(true).map_err(SandboxError::NoNewPrivileges),
        // Landlock forbids to look into processes outside of it.
        if duties.reads_sockets { Ok(()) } else { files::restrict(duties) },
        system_calls::restrict(duties),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        debug!("{}", ErrorChain(&error));
    }
    let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    debug!("capabilities kept: {names}");
}
