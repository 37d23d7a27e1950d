//! The terminal while a table fills it: the alternate screen, without echo. However the run ends, it is as before.

use std::{
    io, panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use crossterm::{
    cursor::{Hide, Show},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};

use crate::{stderr, stdout};

/// Whether the alternate screen is shown.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);

/// Sets the panic hook.
static HOOK: Once = Once::new();

/// The alternate screen, until this is dropped. Lines for stderr are kept back so long if that is a terminal, too.
#[derive(Debug)]
pub(super) struct FullScreen(());

impl FullScreen {
    /// Enters the alternate screen.
    pub(super) fn enter() -> Result<Self> {
        // A panic of any thread is printed where it can be read.
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                leave();
                hook(info);
            }));
        });
        stderr::hold();
        let screen = Self(());
        IS_ENTERED.store(true, Ordering::SeqCst);
        enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide))
            .context("cannot use the terminal")?;
        Ok(screen)
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        leave();
        stderr::release();
    }
}

/// Leaves the alternate screen, unless that was done before.
fn leave() {
    if IS_ENTERED.swap(false, Ordering::SeqCst) {
        // Nothing more can be done if the terminal is gone. One that takes nothing would block the end.
        if stdout::is_writable() {
            let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        }
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        fs::File,
        io::{ErrorKind, Read},
        process::Command,
        thread,
    };

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Tells the test that it runs on a terminal.
    const ON_TERMINAL: &str = "TOA_TC_TEST_ON_TERMINAL";

    /// Runs itself on a terminal, where a thread panics.
    #[test]
    fn a_panic_is_printed_after_the_alternate_screen() {
        if env::var_os(ON_TERMINAL).is_some() {
            let _screen = FullScreen::enter().unwrap();
            thread::spawn(|| panic!("as expected")).join().unwrap_err();
            return;
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || File::options().read(true).write(true).open(&name).unwrap();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "top::full_screen::tests::a_panic_is_printed_after_the_alternate_screen"])
            .arg("--nocapture")
            .env(ON_TERMINAL, "1")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let (mut shown, mut master) = (Vec::new(), File::from(master));
        let mut buffer = [0; 4096];
        // The kernel says EIO when nothing has the terminal open any more.
        loop {
            match master.read(&mut buffer) {
                Ok(len) => shown.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        assert!(child.wait().unwrap().success());
        let shown = String::from_utf8_lossy(&shown);
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text:?}: {shown}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?1049l"), "{shown}");
        assert!(at("\x1b[?1049l") < at("as expected"), "{shown}");
        assert_eq!(shown.matches("\x1b[?1049l").count(), 1, "{shown}");
    }
}
