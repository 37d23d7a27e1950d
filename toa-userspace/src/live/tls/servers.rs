//! The servers of this network namespace, and the files in which their TLS libraries are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;
use toa_common::config::Config;

use super::library::{self, Function, LibraryError};
use crate::live::{
    existing::{Holders, holders},
    host::sock_diag::{SockDiag, SockDiagError},
};

/// What the kernel appends to the path of a file that was replaced or removed.
const DELETED: &str = " (deleted)";

/// Why the servers are not known.
#[derive(Debug, Error)]
pub enum ServersError {
    /// The socket table cannot be read.
    #[error(transparent)]
    SockDiag(#[from] SockDiagError),
    /// The processes cannot be listed.
    #[error("cannot list the processes in /proc")]
    Processes(#[source] io::Error),
}

/// The processes that listen.
#[derive(Debug)]
pub struct Servers {
    /// Those that we may look into.
    pub servers: Vec<Server>,
    /// Processes, servers or not, that we may not look into.
    pub refused: u64,
}

/// A process that listens.
#[derive(Debug)]
pub struct Server {
    /// The process ID.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The ports that it listens on.
    pub ports: BTreeSet<u16>,
    /// Its TLS library, or why its plaintext cannot be read.
    pub library: Result<Library, NoLibrary>,
}

/// A file with a TLS library.
#[derive(Clone, Debug)]
pub struct Library {
    /// Device and inode of the file.
    pub id: (u64, u64),
    /// The path by which we can open it.
    pub path: PathBuf,
    /// Its path as the process sees it.
    pub name: String,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// Why the plaintext of a process cannot be read.
#[derive(Debug, Error)]
pub enum NoLibrary {
    /// We may not look into the process.
    #[error("its memory map cannot be read; CAP_SYS_PTRACE may be missing")]
    Maps(#[source] io::Error),
    /// It is a Java program, which has a TLS implementation of its own.
    #[error("is a Java program, which does not use OpenSSL")]
    Java,
    /// It has another TLS library.
    #[error("uses {library}, which is not supported")]
    Other {
        /// The file's name.
        library: String,
    },
    /// It uses the library, but reads from its sockets by itself, so that connections of plaintext are not known.
    #[error("reads from its sockets by itself (no SSL_set_fd), which is not supported")]
    OwnSockets,
    /// Its program has no library.
    #[error("its program {0}")]
    Program(#[source] LibraryError),
}

/// Returns the processes that listen on a port of `config`, without this one.
pub fn servers(config: &Config) -> Result<Servers, ServersError> {
    let listeners = SockDiag::new()?.listeners()?;
    let ports: HashMap<u32, u16> = listeners
        .iter()
        .filter(|listener| config.serves(listener.port.to_be()))
        .map(|listener| (listener.inode, listener.port))
        .collect();
    let Holders { processes, refused } = holders(ports.keys().copied()).map_err(ServersError::Processes)?;
    let mut known = Known::default();
    let servers = processes.into_iter().map(|(pid, inodes)| {
        let ports = inodes.iter().filter_map(|inode| ports.get(inode)).copied().collect();
        Server { pid, name: name(pid), ports, library: library_of(pid, &mut known) }
    });
    Ok(Servers { servers: servers.collect(), refused })
}

/// Returns the library of a process.
pub fn of_process(pid: u32) -> Result<Library, NoLibrary> {
    library_of(pid, &mut Known::default())
}

/// Returns the library in a file.
pub fn of_file(path: &Path) -> Result<Library, LibraryError> {
    let id = id(path).map_err(LibraryError::Read)?;
    let functions = library::functions(path)?;
    Ok(Library { id, path: path.to_owned(), name: path.display().to_string(), functions })
}

/// Returns the name of a process.
fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |it| it.trim_end().to_owned())
}

/// What was found in files, by device and inode. Each is read once.
#[derive(Default)]
struct Known {
    libraries: BTreeMap<(u64, u64), Option<Library>>,
    binding: BTreeMap<(u64, u64), bool>,
}

impl Known {
    /// Returns the library in a file.
    fn library(&mut self, path: &Path, name: &str) -> Option<Library> {
        let look = || of_file(path).ok().map(|library| Library { name: name.to_owned(), ..library });
        self.libraries.entry(id(path).ok()?).or_insert_with(look).clone()
    }

    /// Returns whether a file calls a function that gives a TLS object its descriptor.
    fn binds(&mut self, path: &Path) -> bool {
        let look = || library::binds_descriptors(path);
        id(path).is_ok_and(|id| *self.binding.entry(id).or_insert_with(look))
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn library_of(pid: u32, known: &mut Known) -> Result<Library, NoLibrary> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(NoLibrary::Maps)?;
    let files = mapped_files(&maps);
    let mut candidates = files.iter().filter(|file| file.name().contains("ssl"));
    if let Some(library) = candidates.find_map(|file| known.library(&file.path_of(pid), file.path)) {
        let binds = files.iter().any(|file| known.binds(&file.path_of(pid)));
        return if binds { Ok(library) } else { Err(NoLibrary::OwnSockets) };
    }
    let program = PathBuf::from(format!("/proc/{pid}/exe"));
    let own = fs::read_link(&program).map_or_else(|_| "?".to_owned(), |path| path.display().to_string());
    match of_file(&program) {
        Ok(library) => Ok(Library { name: own, ..library }),
        Err(error) => Err(files.iter().find_map(other).unwrap_or(NoLibrary::Program(error))),
    }
}

/// Returns why a process with this file may have no OpenSSL.
fn other(file: &Mapped<'_>) -> Option<NoLibrary> {
    let name = file.name();
    if name.starts_with("libjvm.so") {
        return Some(NoLibrary::Java);
    }
    let is_other = ["libgnutls", "libwolfssl", "libmbedtls", "libnss3"].iter().any(|it| name.starts_with(it));
    is_other.then(|| NoLibrary::Other { library: name.to_owned() })
}

/// A file that a process executes.
#[derive(Debug, Eq, PartialEq)]
struct Mapped<'a> {
    /// The addresses, as in the name of its link in `/proc/PID/map_files`.
    addresses: &'a str,
    /// Its path in the mount namespace of the process.
    path: &'a str,
    is_deleted: bool,
}

impl Mapped<'_> {
    /// Returns the last part of its path.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Returns a path by which we can open it. That of one that was replaced needs `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE`.
    fn path_of(&self, pid: u32) -> PathBuf {
        PathBuf::from(if self.is_deleted {
            format!("/proc/{pid}/map_files/{}", self.addresses)
        } else {
            format!("/proc/{pid}/root{}", self.path)
        })
    }
}

/// Returns the files that are mapped for execution, from the text of `/proc/PID/maps` (`proc_pid_maps(5)`).
fn mapped_files(maps: &str) -> Vec<Mapped<'_>> {
    let file = |line| -> Option<_> {
        let mut fields = str::splitn(line, 6, ' ');
        let (addresses, rights) = (fields.next()?, fields.next()?);
        let path = fields.nth(3)?.trim_start();
        let (path, is_deleted) = path.strip_suffix(DELETED).map_or((path, false), |path| (path, true));
        (rights.contains('x') && path.starts_with('/')).then_some(Mapped { addresses, path, is_deleted })
    };
    maps.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executed_files_are_read_from_a_memory_map() {
        let maps = "\
55d0c0a00000-55d0c0a2b000 r--p 00000000 08:01 131 /usr/sbin/nginx
55d0c0a2b000-55d0c0b22000 r-xp 0002b000 08:01 131                        /usr/sbin/nginx
7f1b5c01f000-7f1b5c07f000 r-xp 0001f000 08:01 277                        /usr/lib/x/libssl.so.3 (deleted)
7f1b5d000000-7f1b5d021000 rwxp 00000000 00:00 0 
7ffd3a9d6000-7ffd3a9d8000 r-xp 00000000 00:00 0                          [vdso]
";
        let files = mapped_files(maps);
        let (nginx, libssl) = (&files[0], &files[1]);
        assert_eq!(files.len(), 2);
        assert_eq!((nginx.name(), nginx.is_deleted), ("nginx", false));
        assert_eq!(nginx.path_of(7), Path::new("/proc/7/root/usr/sbin/nginx"));
        assert_eq!((libssl.name(), libssl.path), ("libssl.so.3", "/usr/lib/x/libssl.so.3"));
        assert_eq!(libssl.path_of(7), Path::new("/proc/7/map_files/7f1b5c01f000-7f1b5c07f000"));
    }

    #[test]
    fn other_libraries_are_named() {
        let of = |path| other(&Mapped { addresses: "", path, is_deleted: false }).map(|it| it.to_string());
        assert_eq!(of("/usr/lib/libc.so.6"), None);
        assert_eq!(of("/x/libjvm.so").as_deref(), Some("is a Java program, which does not use OpenSSL"));
        let gnutls = "uses libgnutls.so.30, which is not supported";
        assert_eq!(of("/usr/lib/libgnutls.so.30").as_deref(), Some(gnutls));
    }

    #[test]
    fn this_test_is_no_server_with_tls() {
        assert!(matches!(of_process(std::process::id()), Err(NoLibrary::Program(_))));
        assert!(matches!(of_process(u32::MAX), Err(NoLibrary::Maps(_))));
    }
}
