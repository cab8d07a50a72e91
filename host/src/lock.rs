//! One engine per SQLite database: an advisory lock on `<database>.lock`, held as long as the host lives. The operating
//! system gives it up when the process ends, however it ends, so that nothing stale is left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use apflow_core::error::{Error, ErrorCode, Result};

/// The right to run the engine of one database file.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    file: File,
}

impl DatabaseLock {
    /// Takes the lock of a database file, whose folder must exist.
    ///
    /// # Errors
    /// `StoreUnavailable` if another host has it, naming the holder as far as it is known; or if the lock file cannot
    /// be written.
    pub fn take(database: &Path) -> Result<Self> {
        let path = lock_path(database);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unusable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(database, &path, &holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
        }
        let mut lock = Self { file };
        lock.write(&format!("process {}", std::process::id())).map_err(|error| unusable(&path, &error))?;
        Ok(lock)
    }

    /// Says in the lock file where this host can be reached, for those who find it taken.
    pub fn announce(&mut self, address: &str) {
        if let Err(error) = self.write(&format!("process {} at {address}", std::process::id())) {
            tracing::warn!(%error, "the address could not be written to the lock file");
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())
    }
}

/// `<database>.lock`; the database through its links, so that two names of one file meet.
fn lock_path(database: &Path) -> PathBuf {
    let real = database.canonicalize().unwrap_or_else(|_| database.to_path_buf());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => text,
        _ => "another process".into(),
    }
}

fn taken(database: &Path, lock: &Path, holder: &str) -> Error {
    let message = format!(
        "The database {} is in use by {holder} (lock file {}). A SQLite database has one host at a time: send requests \
         to that one (`apflow tasks … --server URL`), stop it, or name another database",
        database.display(),
        lock.display()
    );
    Error::new(ErrorCode::StoreUnavailable, message)
        .with("database", database.display().to_string())
        .with("lock", lock.display().to_string())
        .with("holder", holder)
}

fn unusable(lock: &Path, error: &std::io::Error) -> Error {
    let message = format!(
        "The lock file {} cannot be used: {error}. The folder of the database must be writable",
        lock.display()
    );
    Error::new(ErrorCode::StoreUnavailable, message).with("lock", lock.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_host_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        std::fs::write(&database, "").unwrap();
        let mut first = DatabaseLock::take(&database).unwrap();
        first.announce("http://127.0.0.1:8000");
        let error = DatabaseLock::take(&database).unwrap_err();
        assert_eq!(error.code, ErrorCode::StoreUnavailable);
        let who = format!("in use by process {} at http://127.0.0.1:8000", std::process::id());
        assert!(error.message.contains(&who), "{error}");
        drop(first);
        DatabaseLock::take(&database).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn two_names_of_one_database_meet() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("a.db"), folder.path().join("b.db"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let _held = DatabaseLock::take(&link).unwrap();
        assert!(DatabaseLock::take(&real).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = DatabaseLock::take(Path::new("/nowhere/a.db")).unwrap_err();
        assert!(error.message.contains("/nowhere/a.db.lock"), "{error}");
    }
}
