//! The directory that an embedded log lives in: whose it is now, and which log it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use model::LogId;

use super::segment::{io, sync_dir};
use crate::Error;

const LOCK: &str = "lock";
const LOG_ID: &str = "log_id";
/// Holds a directory for each topic.
pub(super) const LOG: &str = "log";

/// Takes the lock that one process at a time may hold; dropping the file gives it back.
///
/// # Errors
/// [`Error::Refused`] while another holds it, or [`Error::Io`].
pub(super) fn lock(data_dir: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(data_dir).map_err(io("create", data_dir))?;
    let path = data_dir.join(LOCK);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Refused(format!("{} is in use by another process", data_dir.display())))
        }
        Err(TryLockError::Error(source)) => Err(io("lock", &path)(source)),
    }
}

/// The identity of the log, made the first time. The lock must be held.
///
/// # Errors
/// [`Error::Refused`] where a log stands there whose identity is lost or is no id, or [`Error::Io`].
pub(super) fn log_id(data_dir: &Path) -> Result<LogId, Error> {
    let path = data_dir.join(LOG_ID);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            text.trim_end().parse().map_err(|error| Error::Refused(format!("{}: {error}", path.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let log = data_dir.join(LOG);
            if log.exists() {
                let (log, id) = (log.display(), path.display());
                return Err(Error::Refused(format!(
                    "{log} holds a log, but {id}, which says which one, is missing"
                )));
            }
            make_log_id(data_dir, &path)
        }
        Err(error) => Err(io("read", &path)(error)),
    }
}

fn make_log_id(data_dir: &Path, path: &Path) -> Result<LogId, Error> {
    const RANDOM: &str = "/dev/urandom";
    let mut id = [0; 16];
    File::open(RANDOM)
        .and_then(|mut file| file.read_exact(&mut id))
        .map_err(io("read", Path::new(RANDOM)))?;
    let id = LogId(id);
    let draft_path = path.with_extension("draft");
    let written = File::create(&draft_path).and_then(|mut file| {
        writeln!(file, "{id}")?;
        file.sync_all()
    });
    written.map_err(io("write", &draft_path))?;
    std::fs::rename(&draft_path, path).map_err(io("rename", &draft_path))?;
    sync_dir(data_dir)?;
    Ok(id)
}

/// Makes the names of the directories durable that hold the log.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn sync_parents(data_dir: &Path) -> Result<(), Error> {
    sync_dir(&data_dir.join(LOG))?;
    sync_dir(data_dir)?;
    data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}
