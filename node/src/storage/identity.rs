//! Whether a data directory has to hold a database, and whose.
//!
//! The database says whose it is, too. But a database can be lost, half copied, or another
//! program's, and must then not pass for a new one: a node that forgot its vote may vote twice. So
//! a file beside it says first that a database is being made, and then who owns it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use meridian_proto::log::v1 as pb;
use prost::Message;

use super::engine::Storage;
use super::error::StorageError;
use super::snapshot::{TEMPORARY, Temporary};
use super::{keys, record, synced};

/// Its name in the data directory.
const NAME: &str = "IDENTITY";

/// What a data directory is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Nothing is there yet.
    New,
    /// A database is being made in it; nothing in it was ever acknowledged.
    Creating,
    /// It holds the database of this owner.
    Claimed(pb::Identity),
}

/// Reads what the directory is, and refuses what cannot be the database it says, before anything
/// is written into it.
pub(super) fn examine(storage: &dyn Storage, data_dir: &Path) -> Result<State, StorageError> {
    refuse_strange_files(data_dir)?;
    let db = data_dir.join("db");
    let state = read(data_dir)?;
    let incomplete = |dir: &Path, missing: &'static str| StorageError::Incomplete {
        dir: dir.to_owned(),
        missing,
    };
    let own: BTreeSet<String> = keys::FAMILIES.map(str::to_owned).into();
    match &state {
        State::New if storage.filled(&db) => {
            if storage.families(&db).as_ref() == Some(&own) {
                return Err(incomplete(data_dir, NAME));
            }
            return Err(StorageError::Strange { file: db });
        }
        State::New => {
            let snapshots = data_dir.join("snapshots");
            if std::fs::read_dir(&snapshots).is_ok_and(|mut files| files.next().is_some()) {
                return Err(StorageError::Lost {
                    dir: db,
                    left: snapshots,
                });
            }
        }
        State::Creating => {
            if storage
                .families(&db)
                .is_some_and(|found| !found.is_subset(&own))
            {
                return Err(StorageError::Strange { file: db });
            }
        }
        State::Claimed(_) => {
            if !storage.filled(&db) {
                return Err(StorageError::Lost {
                    dir: db,
                    left: data_dir.join(NAME),
                });
            }
            if let Some(part) = storage.missing(&db) {
                return Err(incomplete(&db, part));
            }
            if !data_dir.join(synced::NAME).is_file() {
                return Err(incomplete(data_dir, synced::NAME));
            }
            if storage.families(&db).is_some_and(|found| found != own) {
                return Err(StorageError::Strange { file: db });
            }
        }
    }
    Ok(state)
}

/// Reads the file.
pub(super) fn read(data_dir: &Path) -> Result<State, StorageError> {
    let path = data_dir.join(NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::New),
        Err(error) => return Err(StorageError::io(&path)(error)),
    };
    let payload = record::open(NAME.as_bytes(), &bytes, || path.display().to_string())?;
    let directory = pb::DataDirectory::decode(payload).map_err(|error| StorageError::Corrupt {
        place: path.display().to_string(),
        what: error.to_string(),
    })?;
    Ok(directory.owner.map_or(State::Creating, State::Claimed))
}

/// Writes the file anew: without an owner while the database is being made. It is on disk when this
/// returns.
pub(super) fn write(data_dir: &Path, owner: Option<&pb::Identity>) -> Result<(), StorageError> {
    let directory = pb::DataDirectory {
        owner: owner.cloned(),
    };
    let sealed = record::seal(NAME.as_bytes(), &directory.encode_to_vec());
    let temporary = Temporary::new(data_dir.join(NAME).with_extension(TEMPORARY));
    File::create(temporary.path())
        .and_then(|mut file| file.write_all(&sealed).and_then(|()| file.sync_all()))
        .map_err(StorageError::io(temporary.path()))?;
    temporary.rename(&data_dir.join(NAME))
}

/// A directory that holds anything else was most likely given by mistake.
fn refuse_strange_files(data_dir: &Path) -> Result<(), StorageError> {
    let Ok(files) = std::fs::read_dir(data_dir) else {
        // Not there yet, or not readable, which making it will tell.
        return Ok(());
    };
    let unfinished = format!("{NAME}.{TEMPORARY}");
    // A file system mounted here has a `lost+found` of its own.
    let own = [
        "db",
        "snapshots",
        NAME,
        &unfinished,
        synced::NAME,
        "lost+found",
    ];
    for file in files {
        let file = file.map_err(StorageError::io(data_dir))?;
        if !own.iter().any(|own| file.file_name() == *own) {
            return Err(StorageError::Strange { file: file.path() });
        }
    }
    Ok(())
}
