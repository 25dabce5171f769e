//! Backups in a directory.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tempfile::NamedTempFile;

use crate::{Check, EXTENSION, Kept, PlaceError, There, index_in};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// A directory of backups.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

/// A backup on its way into one: a file of another name, which goes if it is not finished.
pub(crate) struct File<'a> {
    directory: &'a Directory,
    name: String,
    /// `None` = finished.
    file: Option<NamedTempFile>,
}

fn failed(path: &Path, why: std::io::Error) -> PlaceError {
    PlaceError::File {
        path: path.to_owned(),
        why,
    }
}

impl Directory {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn temporary(&self) -> Result<NamedTempFile, PlaceError> {
        NamedTempFile::new_in(&self.path).map_err(|why| failed(&self.path, why))
    }

    pub(crate) fn prepare(&self) -> Result<(), PlaceError> {
        std::fs::create_dir_all(&self.path).map_err(|why| failed(&self.path, why))?;
        // Whether files can be made in it is known soonest by making one.
        self.temporary().map(drop)
    }

    pub(crate) fn check_of(&self, name: &str, bytes: u64) -> Result<There, PlaceError> {
        let path = self.path(name);
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(There::Nothing),
            Err(why) => return Err(failed(&path, why)),
        };
        let mut read = || {
            if file.metadata()?.len() != bytes {
                return Ok(There::Other);
            }
            let (mut check, mut buffer) = (Check::default(), vec![0; READ_BYTES]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(There::Whole(check.whole())),
                    some => check.add(&buffer[..some]),
                }
            }
        };
        read().map_err(|why| failed(&path, why))
    }

    pub(crate) fn begin(&self, name: &str) -> Result<File<'_>, PlaceError> {
        Ok(File {
            directory: self,
            name: name.to_owned(),
            file: Some(self.temporary()?),
        })
    }

    pub(crate) fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let failed = |why| failed(&self.path, why);
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let about = entry.metadata().map_err(failed)?;
            if !name.ends_with(EXTENSION) || !about.is_file() {
                continue;
            }
            let written = about.modified().map_err(failed)?;
            let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            kept.push(Kept {
                log_index: index_in(&name),
                bytes: about.len(),
                written_ms: written.as_millis() as i64,
                name,
            });
        }
        Ok(kept)
    }
}

impl File<'_> {
    pub(crate) fn put(&mut self, data: &[u8]) -> Result<(), PlaceError> {
        match &mut self.file {
            Some(file) => {
                let written = file.write_all(data);
                written.map_err(|why| failed(file.path(), why))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn finish(&mut self) -> Result<(), PlaceError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let synced = file.as_file().sync_all();
        synced.map_err(|why| failed(file.path(), why))?;
        let target = self.directory.path(&self.name);
        file.persist_noclobber(&target).map_err(|e| match e.error {
            // It came after we looked.
            why if why.kind() == ErrorKind::AlreadyExists => {
                PlaceError::Differs(target.display().to_string())
            }
            why => failed(&target, why),
        })?;
        // Until the directory is on disk, so is not the name.
        let dir = &self.directory.path;
        let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|why| failed(dir, why))
    }
}
