//! Where backups are kept: a directory, or a store that speaks the S3 protocol. One grammar for both, for the command
//! line that writes them and for the node that reads them.
//!
//! A backup is put whole or not at all, and never takes the place of another that differs.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

mod directory;
mod settings;
mod store;

use directory::Directory;
use store::Store;

/// How the name of every backup ends.
pub const EXTENSION: &str = ".backup";

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It is spelled wrongly.
    #[error("{given}: {problem}")]
    Address {
        /// As it was given.
        given: String,
        /// What is wrong, and what to give.
        problem: String,
    },
    /// The environment lacks what a store needs, or says it wrongly.
    #[error("{variable} {problem}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What is wrong, and what to give. Never a secret.
        problem: String,
    },
    /// The store has no such bucket.
    #[error("there is no bucket '{bucket}' at {endpoint}: make it first, or name another")]
    NoBucket {
        /// Which.
        bucket: String,
        /// Which store.
        endpoint: String,
    },
    /// Nothing of that name is kept there.
    #[error("{0} does not exist: `meridian backup list` tells what does")]
    Missing(String),
    /// The store does not let us.
    #[error(
        "{endpoint} refuses {place}: {why}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and that they may list, get and put there"
    )]
    Refused {
        /// Which store.
        endpoint: String,
        /// What was asked for.
        place: String,
        /// What it says.
        why: String,
    },
    /// The store does not answer.
    #[error(
        "{endpoint} cannot be reached: {why}; check AWS_ENDPOINT_URL and the network, then try again"
    )]
    Unreachable {
        /// Which store.
        endpoint: String,
        /// What happened.
        why: String,
    },
    /// Something else is kept under that name.
    #[error("{0} is there already and differs: move it away, or name another place")]
    Differs(String),
    /// What arrived is not what was announced.
    #[error("the backup did not arrive whole: {arrived} bytes of {announced}; try again")]
    NotWhole {
        /// Bytes that arrived.
        arrived: u64,
        /// Bytes that were announced.
        announced: u64,
    },
    /// A file or directory is at fault.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The store answers with something else.
    #[error("{place}: {why}")]
    Store {
        /// What was asked for.
        place: String,
        /// What it says.
        why: String,
    },
    /// Parts of an upload may still lie in the store.
    #[error(
        "{failed}; parts that were uploaded could not be taken back ({why}): no backup shows them, but the store keeps them until the upload is aborted there"
    )]
    PartsLeft {
        /// Why the upload failed.
        failed: Box<PlaceError>,
        /// Why it was not taken back.
        why: Box<PlaceError>,
    },
}

/// What a backup must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its length in bytes.
    pub bytes: u64,
    /// The CRC-32C of all of it.
    pub crc32c: u32,
}

/// A backup that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name in the place.
    pub name: String,
    /// The last log entry in it, as its name tells; `None` = it was named otherwise.
    pub log_index: Option<u64>,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, in UTC milliseconds.
    pub written_ms: i64,
}

/// The name of a backup: of which cluster, up to which log index. Whatever is no letter, digit, `-`, `_` or `.` in the
/// cluster's name becomes a `_`, so that it names one file everywhere.
pub fn name_of(cluster_id: &str, log_index: u64) -> String {
    let plain = |c: char| match c {
        '-' | '_' | '.' => c,
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    let cluster: String = cluster_id.chars().map(plain).collect();
    format!("{cluster}-{log_index:012}{EXTENSION}")
}

fn index_in(name: &str) -> Option<u64> {
    let (_, index) = name.strip_suffix(EXTENSION)?.rsplit_once('-')?;
    index.parse().ok()
}

/// Whether what was given names an object or a prefix of a store, rather than a file or a directory.
pub fn is_store(given: &Path) -> bool {
    given.to_str().is_some_and(|text| text.starts_with("s3://"))
}

/// Where backups are kept.
#[derive(Debug)]
pub struct Place(Kind);

#[derive(Debug)]
enum Kind {
    Directory(Directory),
    Store(Store),
}

impl Place {
    /// A directory, or `s3://BUCKET/PREFIX`. For a store, the environment says where it is and who asks:
    /// `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    ///
    /// # Errors
    /// [`PlaceError::Address`] and [`PlaceError::Environment`]; nothing was asked yet.
    pub fn at(given: &Path) -> Result<Self, PlaceError> {
        Ok(Self(match is_store(given) {
            true => Kind::Store(Store::of(&given.display().to_string())?),
            false => Kind::Directory(Directory::of(given)),
        }))
    }

    /// Finds out that backups can be written here before any is made; makes a directory that is not there.
    ///
    /// # Errors
    /// Whatever stands against it.
    pub async fn prepare(&self) -> Result<(), PlaceError> {
        match &self.0 {
            Kind::Directory(directory) => directory.prepare(),
            Kind::Store(store) => store.check().await,
        }
    }

    /// Every backup that is kept here, by log index and name.
    ///
    /// # Errors
    /// Whatever stands against looking.
    pub async fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let mut kept = match &self.0 {
            Kind::Directory(directory) => directory.list()?,
            Kind::Store(store) => store.list().await?,
        };
        kept.sort_by(|a, b| (a.log_index, &a.name).cmp(&(b.log_index, &b.name)));
        Ok(kept)
    }

    /// How a backup of this name is called from outside.
    pub fn full_name(&self, name: &str) -> String {
        match &self.0 {
            Kind::Directory(directory) => directory.path(name).display().to_string(),
            Kind::Store(store) => store.full_name(name),
        }
    }

    /// Begins a backup of this name; `None` = the very same is there already.
    ///
    /// # Errors
    /// [`PlaceError::Differs`] if another is there; otherwise whatever stands against writing.
    pub async fn write(&self, name: &str, whole: Whole) -> Result<Option<Writer<'_>>, PlaceError> {
        let there = match &self.0 {
            Kind::Directory(directory) => directory.check_of(name, whole.bytes)?,
            Kind::Store(store) => store.check_of(name, whole.bytes).await?,
        };
        match there {
            There::Nothing => {}
            There::Whole(there) if there == whole => return Ok(None),
            There::Whole(_) | There::Other => {
                return Err(PlaceError::Differs(self.full_name(name)));
            }
        }
        let target = match &self.0 {
            Kind::Directory(directory) => Target::File(directory.begin(name)?),
            Kind::Store(store) => Target::Object(store.begin(name, whole).await?),
        };
        Ok(Some(Writer {
            target,
            whole,
            arrived: Check::default(),
        }))
    }
}

/// What is kept under a name.
enum There {
    Nothing,
    /// Of the length that was asked about.
    Whole(Whole),
    /// Of another length.
    Other,
}

/// Length and CRC of what went by.
#[derive(Clone, Copy, Debug, Default)]
struct Check {
    bytes: u64,
    crc: u32,
}

impl Check {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, data);
    }

    fn whole(self) -> Whole {
        Whole {
            bytes: self.bytes,
            crc32c: self.crc,
        }
    }
}

/// A backup that is being written. Nothing of it is to be seen until [`Writer::finish`] said so.
pub struct Writer<'a> {
    target: Target<'a>,
    whole: Whole,
    arrived: Check,
}

enum Target<'a> {
    File(directory::File<'a>),
    Object(store::Object<'a>),
}

impl Writer<'_> {
    /// Takes its next bytes.
    ///
    /// # Errors
    /// They cannot be written. The backup must be given up then.
    pub async fn put(&mut self, data: &[u8]) -> Result<(), PlaceError> {
        self.arrived.add(data);
        // A sender who says more than announced fills up nobody's store.
        if self.arrived.bytes > self.whole.bytes {
            return Err(self.not_whole());
        }
        match &mut self.target {
            Target::File(file) => file.put(data),
            Target::Object(object) => object.put(data).await,
        }
    }

    fn not_whole(&self) -> PlaceError {
        PlaceError::NotWhole {
            arrived: self.arrived.bytes,
            announced: self.whole.bytes,
        }
    }

    /// Makes it seen, if what arrived is what was announced; otherwise nothing is left of it.
    ///
    /// # Errors
    /// [`PlaceError::NotWhole`], or whatever stands against writing.
    pub async fn finish(mut self) -> Result<(), PlaceError> {
        if self.arrived.whole() != self.whole || self.whole.bytes == 0 {
            let error = self.not_whole();
            return Err(self.give_up(error).await);
        }
        let finished = match &mut self.target {
            Target::File(file) => file.finish(),
            Target::Object(object) => object.finish().await,
        };
        match finished {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Leaves nothing of it. Returns why it was given up, with what could not be undone.
    pub async fn give_up(self, failed: PlaceError) -> PlaceError {
        match self.abandon().await {
            Ok(()) => failed,
            Err(why) => PlaceError::PartsLeft {
                failed: Box::new(failed),
                why: Box::new(why),
            },
        }
    }

    /// Leaves nothing of it.
    ///
    /// # Errors
    /// The store does not take back the parts that it has.
    pub async fn abandon(self) -> Result<(), PlaceError> {
        match self.target {
            // A file under another name, which goes with it.
            Target::File(_) => Ok(()),
            Target::Object(object) => object.abort().await,
        }
    }
}

/// Brings `s3://BUCKET/KEY` into a file of its own in `dir`, which goes when it is dropped.
///
/// # Errors
/// Whatever stands against it; nothing is left then.
pub async fn fetch(given: &Path, dir: &Path) -> Result<TempPath, PlaceError> {
    let store = Store::of(&given.display().to_string())?;
    let failed = |why| PlaceError::File {
        path: dir.to_owned(),
        why,
    };
    let file = tempfile::Builder::new()
        .prefix("meridian-fetched-")
        .tempfile_in(dir);
    let mut file: NamedTempFile = file.map_err(failed)?;
    store
        .read(&mut |data| file.write_all(data).map_err(failed))
        .await?;
    Ok(file.into_temp_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_log_index_and_is_one_file_everywhere() {
        let name = name_of("a/b c", 7);
        assert_eq!(name, "a_b_c-000000000007.backup");
        assert_eq!(index_in(&name), Some(7));
        assert_eq!(index_in("mine.backup"), None);
        assert_eq!(index_in("a-7.txt"), None);
    }

    fn whole(data: &[u8]) -> Whole {
        let mut check = Check::default();
        check.add(data);
        check.whole()
    }

    #[tokio::test]
    async fn a_directory_shows_whole_backups_only_and_keeps_those_that_differ() {
        let dir = tempfile::tempdir().unwrap();
        let backups = dir.path().join("new").join("backups");
        let place = Place::at(&backups).unwrap();
        place.prepare().await.unwrap();
        let name = name_of("meridian", 12);

        // What does not come to what was announced is not there.
        let mut short = place.write(&name, whole(b"abc")).await.unwrap().unwrap();
        short.put(b"ab").await.unwrap();
        let refused = short.finish().await.unwrap_err().to_string();
        assert!(refused.contains("2 bytes of 3"), "{refused}");
        let mut wrong = place.write(&name, whole(b"abc")).await.unwrap().unwrap();
        wrong.put(b"abd").await.unwrap();
        assert!(wrong.finish().await.is_err());
        let mut long = place.write(&name, whole(b"abc")).await.unwrap().unwrap();
        assert!(long.put(b"abcd").await.is_err());
        drop(long);
        assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 0);

        let mut writer = place.write(&name, whole(b"abc")).await.unwrap().unwrap();
        writer.put(b"a").await.unwrap();
        writer.put(b"bc").await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(std::fs::read(backups.join(&name)).unwrap(), b"abc");
        let kept = place.list().await.unwrap();
        assert_eq!((kept.len(), kept[0].log_index), (1, Some(12)));
        assert_eq!((kept[0].bytes, &kept[0].name), (3, &name));

        // The same again is there already; what differs stays.
        assert!(place.write(&name, whole(b"abc")).await.unwrap().is_none());
        for other in [&b"abd"[..], b"abcd"] {
            let differs = place.write(&name, whole(other)).await.err().unwrap();
            assert!(matches!(differs, PlaceError::Differs(_)), "{differs}");
        }
        assert_eq!(std::fs::read(backups.join(&name)).unwrap(), b"abc");
    }

    #[tokio::test]
    async fn what_appears_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path()).unwrap();
        let mut writer = place
            .write("a.backup", whole(b"abc"))
            .await
            .unwrap()
            .unwrap();
        writer.put(b"abc").await.unwrap();
        std::fs::write(dir.path().join("a.backup"), b"other").unwrap();
        let refused = writer.finish().await.unwrap_err();
        assert!(matches!(refused, PlaceError::Differs(_)), "{refused}");
        assert_eq!(
            std::fs::read(dir.path().join("a.backup")).unwrap(),
            b"other"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
