//! Files that commands leave behind: whole or not at all, and secrets for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::FlockOperation;

use super::{Failure, Result};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody: 0644.
    Public,
    /// Its owner: 0600.
    Private,
}

/// A file that is locked until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Makes a directory, and those above it, for its owner only.
pub(super) fn directory(path: &Path) -> Result {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make the directory {}", path.display()))?;
    Ok(())
}

/// Writes a file in one step: it has the old content or the new one, also after a power loss.
pub(super) fn write(path: &Path, content: &str, access: Access) -> Result {
    let mode = if access == Access::Private { 0o600 } else { 0o644 };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(
            path.parent()
                .filter(|dir| !dir.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        )?
        .sync_all()
    })();
    if written.is_err() {
        // It may not even exist; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

/// The content of a file, without white space around it; none where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context(format!("read {}", path.display())).into()),
    }
}

/// Locks a file, and makes it where it is not there. `busy` is the error where another process holds the lock; without it,
/// this waits.
pub(super) fn lock(path: &Path, busy: Option<String>) -> Result<Lock> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let operation = if busy.is_some() {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::LockExclusive
    };
    match (rustix::fs::flock(&file, operation), busy) {
        (Ok(()), _) => Ok(Lock { _file: file }),
        (Err(rustix::io::Errno::WOULDBLOCK), Some(busy)) => Err(Failure::Failed(anyhow::Error::msg(busy))),
        (Err(error), _) => Err(anyhow::Error::new(error).context(format!("lock {}", path.display())).into()),
    }
}

/// A path that does not depend on the working directory of who uses it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path).with_context(|| format!("find {}", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_even_where_a_file_was_open_to_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        write(&path, "one", Access::Public).expect("written");
        write(&path, "two\n", Access::Private).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).expect("read").as_deref(), Some("two"));
        assert_eq!(
            fs::read_dir(dir.path()).expect("listed").count(),
            1,
            "nothing else is left behind"
        );
        assert_eq!(read(&dir.path().join("none")).expect("read"), None);
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let held = lock(&path, Some("busy".into())).expect("free");
        let refused = lock(&path, Some("busy".into())).expect_err("held");
        assert!(matches!(refused, Failure::Failed(error) if error.to_string() == "busy"));
        drop(held);
        lock(&path, Some("busy".into())).expect("free again");
    }
}
