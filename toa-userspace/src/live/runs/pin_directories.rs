//! The directories in which runs pin their maps: one for each user, so that users do not exclude each other.
//!
//! ```text
//! /sys/fs/bpf/toa-tc/          of root
//! /sys/fs/bpf/toa-tc-UID/      of another user; root looks into these, too
//! ```

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{self, Path, PathBuf},
};

use rustix::fs::statfs;
use thiserror::Error;

/// Where the BPF file system is mounted.
pub const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Root's directory in it, and what those of other users begin with.
const NAME: &str = "toa-tc";

/// Why a directory of pins cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// There is no BPF file system.
    #[error("no BPF file system at {BPF_FS} (mount -t bpf bpf {BPF_FS})")]
    NoFileSystem,
    /// The chosen directory is in another file system.
    #[error("{path} is not in a BPF file system")]
    NotInFileSystem {
        /// The directory.
        path: PathBuf,
    },
    /// Others may write to a directory.
    #[error(
        "{path} is not used, because another user can change it: it belongs to user {uid} and has mode {mode:o} (see \
         --pin-dir)"
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// The user ID of its owner.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// A directory could not be created or read.
    #[error("cannot use {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
}

/// Where runs pin their maps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PinDirectories {
    /// The only directory, if it was chosen.
    chosen: Option<PathBuf>,
}

impl PinDirectories {
    /// Returns the usual directories or, if there is one, the `chosen` directory alone. It must be in a BPF file system,
    /// but need not exist.
    pub fn new(chosen: Option<&Path>) -> Result<Self, DirectoryError> {
        let Some(chosen) = chosen else {
            return Ok(Self::default());
        };
        let failed = |source| DirectoryError::Directory { path: chosen.to_owned(), source };
        // Another process may create it after this.
        let path = fs::canonicalize(chosen).or_else(|_| path::absolute(chosen)).map_err(failed)?;
        let place = if path.exists() { Some(path.as_path()) } else { path.parent() };
        match place.map(is_bpf_file_system).transpose().map_err(failed)? {
            Some(true) => Ok(Self { chosen: Some(path) }),
            _ => Err(DirectoryError::NotInFileSystem { path }),
        }
    }

    /// Returns the directory that was chosen.
    pub(crate) fn chosen(&self) -> Option<&Path> {
        self.chosen.as_deref()
    }

    /// Returns the directory for our own pins, which may not exist.
    pub(crate) fn own(&self) -> PathBuf {
        self.chosen.clone().unwrap_or_else(|| usual(rustix::process::geteuid().as_raw()))
    }

    /// Creates the directory for our own pins unless it exists, and checks it. Returns its path, and whether it should be
    /// removed once it is empty.
    pub(crate) fn create(&self) -> Result<(PathBuf, bool), DirectoryError> {
        let path = self.own();
        let is_made = match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(source) => {
                // Why it failed, if that is all.
                self.check_file_system()?;
                return Err(DirectoryError::Directory { path, source });
            }
        };
        self.check_file_system()?;
        check(&path, self.may_belong_to())?;
        Ok((path, is_made || self.chosen.is_none()))
    }

    /// Returns the directory for our own pins, if there is one.
    pub fn own_existing(&self) -> Result<Option<PathBuf>, DirectoryError> {
        self.check_file_system()?;
        check(&self.own(), self.may_belong_to())
    }

    /// Returns all directories that there are, or why they are not used.
    pub(crate) fn existing(&self) -> Result<Vec<Result<PathBuf, DirectoryError>>, DirectoryError> {
        self.check_file_system()?;
        let mut found = vec![self.own_existing()];
        if self.chosen.is_none() && rustix::process::geteuid().is_root() {
            let failed = |source| DirectoryError::Directory { path: BPF_FS.into(), source };
            let mut users = Vec::new();
            for entry in fs::read_dir(BPF_FS).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                users.extend(name.to_str().and_then(user).filter(|user| *user != 0));
            }
            users.sort_unstable();
            found.extend(users.into_iter().map(|user| check(&usual(user), Some(user))));
        }
        Ok(found.into_iter().filter_map(Result::transpose).collect())
    }

    /// Returns the user, beside root, to whom our directory must belong. Root may use whatever it chooses.
    fn may_belong_to(&self) -> Option<u32> {
        let user = rustix::process::geteuid().as_raw();
        (self.chosen.is_none() || user != 0).then_some(user)
    }

    fn check_file_system(&self) -> Result<(), DirectoryError> {
        // A directory that was chosen has been checked.
        if self.chosen.is_some() || is_bpf_file_system(Path::new(BPF_FS)).unwrap_or(false) {
            return Ok(());
        }
        Err(DirectoryError::NoFileSystem)
    }
}

/// Returns the usual directory of a user.
fn usual(user: u32) -> PathBuf {
    Path::new(BPF_FS).join(if user == 0 { NAME.to_owned() } else { format!("{NAME}-{user}") })
}

/// Returns the user whose directory has this name.
fn user(name: &str) -> Option<u32> {
    let user = name.strip_prefix(NAME)?.strip_prefix('-')?.parse().ok()?;
    usual(user).ends_with(name).then_some(user)
}

fn is_bpf_file_system(path: &Path) -> io::Result<bool> {
    Ok(u64::try_from(statfs(path)?.f_type).ok() == Some(BPF_FS_MAGIC))
}

/// Returns the directory if there is one. Only its owner may write to it, who must be root or `user`, if given.
fn check(path: &Path, user: Option<u32>) -> Result<Option<PathBuf>, DirectoryError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            let (uid, mode) = (metadata.uid(), metadata.mode());
            let is_known = uid == 0 || user.is_none_or(|user| user == uid);
            if metadata.is_dir() && is_known && mode & 0o022 == 0 {
                return Ok(Some(path.to_owned()));
            }
            Err(DirectoryError::NotPrivate { path: path.to_owned(), uid, mode: mode & 0o7777 })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirectoryError::Directory { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_users_by_its_name() {
        assert_eq!((usual(0), usual(7)), ("/sys/fs/bpf/toa-tc".into(), "/sys/fs/bpf/toa-tc-7".into()));
        assert_eq!(user("toa-tc-65534"), Some(65534));
        for name in ["toa-tc", "toa-tc-", "toa-tc-07", "toa-tc-+7", "toa-tc-7x", "toa-tc-4294967296", "7"] {
            assert_eq!(user(name), None, "{name}");
        }
    }

    #[test]
    fn a_directory_elsewhere_cannot_be_chosen() {
        for path in ["/", "/nosuch", "/nosuch/either"] {
            assert!(PinDirectories::new(Some(Path::new(path))).is_err(), "{path}");
        }
        assert_eq!(PinDirectories::new(None).unwrap(), PinDirectories::default());
    }

    #[test]
    fn only_a_private_directory_of_a_known_user_is_used() {
        let directory = std::env::temp_dir().join(format!("toa-private-{}", std::process::id()));
        let own = rustix::process::geteuid().as_raw();
        assert!(matches!(check(&directory, Some(own)), Ok(None)));
        DirBuilder::new().mode(0o700).create(&directory).unwrap();
        assert!(matches!(check(&directory, Some(own)), Ok(Some(_))));
        if own != 0 {
            assert!(matches!(check(&directory, Some(own + 1)), Err(DirectoryError::NotPrivate { .. })));
        }
        let link = directory.join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        assert!(matches!(check(&link, Some(own)), Err(DirectoryError::NotPrivate { .. })));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o770);
        fs::set_permissions(&directory, open).unwrap();
        assert!(matches!(check(&directory, Some(own)), Err(DirectoryError::NotPrivate { .. })));
        fs::remove_dir_all(directory).unwrap();
    }
}
