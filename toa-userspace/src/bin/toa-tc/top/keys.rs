//! Reads keys from the terminal.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use toa_userspace::live::host::sandbox;
use tokio::sync::oneshot;

/// Keys that may wait. Further ones are dropped.
const WAITING: usize = 64;

/// What a key does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the next order.
    Sort,
    /// Nothing, but the terminal has another size.
    Resized,
    /// The end of the run.
    Quit,
}

/// Starts to read keys. Returns those that are read, and what receives the end of the run.
pub(super) fn start() -> io::Result<(Receiver<Key>, oneshot::Receiver<()>)> {
    // Prepares for signals of another size, which the sandbox would refuse later.
    event::poll(Duration::ZERO)?;
    let (sender, keys) = sync_channel(WAITING);
    let (quit, is_quit) = oneshot::channel();
    let read = move || {
        sandbox::enter_thread();
        read(&sender, quit);
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok((keys, is_quit))
}

/// Reads until the end of the run is wanted.
fn read(keys: &SyncSender<Key>, quit: oneshot::Sender<()>) {
    while let Ok(event) = event::read() {
        match key(&event) {
            None => {}
            Some(Key::Quit) => {
                // The receiver is dropped only at the end of the run.
                let _ = quit.send(());
                return;
            }
            // If nothing is drawn because the terminal is blocked, no key is needed.
            Some(key) => _ = keys.try_send(key),
        }
    }
}

fn key(event: &Event) -> Option<Key> {
    let KeyEvent { code, modifiers, .. } = match event {
        Event::Resize(..) => return Some(Key::Resized),
        Event::Key(key) => key,
        _ => return None,
    };
    // Without its line discipline, the terminal sends no signals.
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c') if is_control => Key::Quit,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char('q' | 'Q') => Key::Quit,
        KeyCode::Char('s' | 'S') => Key::Sort,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}
