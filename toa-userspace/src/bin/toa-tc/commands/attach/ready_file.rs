//! The file that says that the program is attached.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Creates the file. What exists under its name is neither changed nor followed nor waited for.
pub(crate) fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path).with_context(|| format!("cannot create {}", path.display())).map(drop)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::fs::symlink, process};

    use super::*;

    #[test]
    fn only_a_new_file_is_created() {
        let directory = env::temp_dir().join(format!("toa-ready-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        fs::write(path("there"), "content").unwrap();
        symlink("target", path("dangling")).unwrap();
        symlink("there", path("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), 0o600.into()).unwrap();
        for name in ["there", "dangling", "link", "fifo"] {
            let error = create(&path(name)).unwrap_err();
            assert!(format!("{error:#}").contains("File exists"), "{name}: {error:#}");
        }
        create(&path("new")).unwrap();
        let content = |name| fs::read_to_string(path(name)).unwrap();
        assert_eq!((content("new"), content("there")), (String::new(), "content".to_owned()));
        assert!(!path("target").exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
