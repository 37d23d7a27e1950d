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
