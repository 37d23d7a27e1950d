//! Shows that a run lives: the lock on its directory, which the kernel takes off when the run's process ends, however it
//! ends. It is the same from every PID, time and mount namespace, in contrast to `/proc`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// The lock of a run that lives. Dropping it ends the life.
#[derive(Debug)]
pub(crate) struct Life(File);

impl Life {
    /// Begins the life of a run whose directory was just created. Returns `None` if another process has taken it for that
    /// of a dead run in the meantime, and removed it.
    pub(crate) fn begin(directory: &Path) -> io::Result<Option<Self>> {
        let file = match open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        // Waits only for processes that look whether it is locked.
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(is_at(directory, &file)?.then_some(Self(file)))
    }

    /// Returns the locked directory.
    pub(crate) fn directory(&self) -> &File {
        &self.0
    }
}

/// The directory of a dead run. As long as it is held, no run begins its life in it.
#[derive(Debug)]
pub(crate) struct Dead(File);

impl Dead {
    /// Returns the directory, unless its run lives.
    pub(crate) fn find(directory: &Path) -> io::Result<Option<Self>> {
        let file = open(directory)?;
        // Several processes may find it dead at the same time.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &File {
        &self.0
    }
}

/// Opens a directory, but not a link to one.
fn open(directory: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(directory)
}

/// Returns whether the directory at `path` is the open one.
fn is_at(path: &Path, open: &File) -> io::Result<bool> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let open = open.metadata()?;
    Ok((found.dev(), found.ino()) == (open.dev(), open.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_dead(directory: &Path) -> bool {
        Dead::find(directory).unwrap().is_some()
    }

    #[test]
    fn a_run_lives_as_long_as_it_holds_its_directory() {
        let directory = std::env::temp_dir().join(format!("toa-life-{}", std::process::id()));
        assert!(Life::begin(&directory).unwrap().is_none());
        fs::create_dir(&directory).unwrap();
        assert!(is_dead(&directory));
        let life = Life::begin(&directory).unwrap().unwrap();
        assert!(!is_dead(&directory));
        drop(life);
        // Two at a time.
        let dead = Dead::find(&directory).unwrap();
        assert!(dead.is_some() && is_dead(&directory));
        drop(dead);

        let link = directory.with_extension("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        assert!(Dead::find(&link).is_err());
        fs::remove_file(link).unwrap();
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn no_run_begins_in_a_directory_that_was_removed() {
        let directory = std::env::temp_dir().join(format!("toa-removed-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let dead = Dead::find(&directory).unwrap().unwrap();
        let began = std::thread::scope(|scope| {
            let begins = scope.spawn(|| Life::begin(&directory));
            fs::remove_dir(&directory).unwrap();
            drop(dead);
            begins.join().unwrap()
        });
        assert!(began.unwrap().is_none());
    }
}
