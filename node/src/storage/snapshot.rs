//! Snapshot files: written in one pass, read in one pass, checked throughout.
//!
//! `magic "MRDNSNAP" | format u8`, then frames `kind u8 | length u32 BE | crc32c u32 BE | payload`:
//! one header, any number of record frames, one footer with the number of records and the checksum
//! of everything before it. A file is complete only with its footer and nothing after it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meridian_proto::log::v1 as pb;
use prost::Message;

use super::error::StorageError;

const MAGIC: &[u8; 8] = b"MRDNSNAP";
/// The newest snapshot format this version writes and reads.
pub const FORMAT: u8 = 1;
/// A record frame is written once it holds this many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// No frame is longer: a torn length must not make the reader allocate gigabytes. One record of
/// a machine must fit.
const FRAME_BYTES_MAX: usize = 64 << 20;

const HEADER: u8 = 1;
const RECORDS: u8 = 2;
const FOOTER: u8 = 3;

/// The name of a file that is not complete, or not yet known to be wanted: whoever holds it last
/// removes the file, unless it got its final name by then.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    renamed: AtomicBool,
}

impl Temporary {
    /// Takes charge of whatever is or will be at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            renamed: AtomicBool::new(false),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name and makes that name durable.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn rename(&self, to: &Path) -> Result<(), StorageError> {
        std::fs::rename(&self.path, to).map_err(StorageError::io(&self.path))?;
        self.renamed.store(true, Ordering::Relaxed);
        let dir = to.parent().filter(|dir| *dir != Path::new(""));
        let dir = dir.unwrap_or(Path::new("."));
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(StorageError::io(dir))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.renamed.load(Ordering::Relaxed) {
            return;
        }
        // If it cannot be removed now it is at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A complete snapshot file. Holds it open: it stays readable when a newer one replaces it. One
/// that came in under a temporary name is removed with its last handle, and not before.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    path: PathBuf,
    file: Option<Arc<File>>,
    length: u64,
    header: pb::SnapshotHeader,
    temporary: Option<Arc<Temporary>>,
}

impl SnapshotFile {
    /// Opens a file and reads its header, not yet the rest.
    ///
    /// # Errors
    /// [`StorageError::CorruptSnapshot`], [`StorageError::NewerFormat`] or [`StorageError::Io`].
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(StorageError::io(path))?;
        let length = file.metadata().map_err(StorageError::io(path))?.len();
        let header = Frames::start(path, &file)?.header;
        Ok(Self {
            path: path.to_owned(),
            file: Some(Arc::new(file)),
            length,
            header,
            temporary: None,
        })
    }

    /// Opens a file that came in under a temporary name.
    ///
    /// # Errors
    /// As for [`SnapshotFile::open`].
    pub fn open_temporary(temporary: Temporary) -> Result<Self, StorageError> {
        let mut file = Self::open(temporary.path())?;
        file.temporary = Some(Arc::new(temporary));
        Ok(file)
    }

    /// No snapshot: what an attempt that came to nothing is answered with. It covers nothing and
    /// cannot be read.
    pub fn none(dir: &Path) -> Self {
        Self {
            path: dir.to_owned(),
            file: None,
            length: 0,
            header: pb::SnapshotHeader::default(),
            temporary: None,
        }
    }

    /// Its temporary name, if it has one.
    pub fn temporary(&self) -> Option<&Temporary> {
        self.temporary.as_deref()
    }

    fn file(&self) -> Result<&File, StorageError> {
        let file = self.file.as_deref();
        file.ok_or_else(|| corrupt(&self.path, "no snapshot was written"))
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What it covers.
    pub fn header(&self) -> &pb::SnapshotHeader {
        &self.header
    }

    /// Up to `max` bytes from `offset` on, for sending; fewer only at the end.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn read_at(&self, offset: u64, max: usize) -> Result<Vec<u8>, StorageError> {
        use std::os::unix::fs::FileExt;
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut data = vec![0; max.min(left)];
        self.file()?
            .read_exact_at(&mut data, offset)
            .map_err(StorageError::io(&self.path))?;
        Ok(data)
    }

    /// Reads the whole file and hands every frame of records to `each`, in order. Whatever `each`
    /// did must only count once this has returned `Ok`: the last check is at the end.
    ///
    /// # Errors
    /// As for [`SnapshotFile::open`], or what `each` returns.
    pub fn read(
        &self,
        mut each: impl FnMut(pb::SnapshotRecords) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut frames = Frames::start(&self.path, self.file()?)?;
        while let Some(records) = frames.next()? {
            each(records)?;
        }
        Ok(())
    }

    /// Writes a copy, synced, whatever became of the file's name.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn copy(&self, to: &Temporary) -> Result<(), StorageError> {
        let mut source = At {
            file: self.file()?,
            offset: 0,
        };
        File::create(to.path())
            .and_then(|mut copy| {
                std::io::copy(&mut source, &mut copy)?;
                copy.sync_all()
            })
            .map_err(StorageError::io(to.path()))
    }
}

/// Writes a snapshot file under a temporary name and gives it its own when it is complete.
pub struct SnapshotWriter {
    target: PathBuf,
    temporary: Temporary,
    out: BufWriter<File>,
    crc: u32,
    count: u64,
    pending: pb::SnapshotRecords,
    pending_bytes: usize,
}

impl SnapshotWriter {
    /// Starts a file that will be called `target`, and `temporary` until it is complete. One that is
    /// given up is removed.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn create(
        target: &Path,
        temporary: Temporary,
        header: &pb::SnapshotHeader,
    ) -> Result<Self, StorageError> {
        let file = File::create(temporary.path()).map_err(StorageError::io(temporary.path()))?;
        let mut writer = Self {
            target: target.to_owned(),
            temporary,
            out: BufWriter::new(file),
            crc: 0,
            count: 0,
            pending: pb::SnapshotRecords::default(),
            pending_bytes: 0,
        };
        writer.put(MAGIC)?;
        writer.put(&[FORMAT])?;
        writer.frame(HEADER, &header.encode_to_vec())?;
        Ok(writer)
    }

    /// Adds one record.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn add(
        &mut self,
        family: pb::Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        if self.pending.family() != family || self.pending_bytes >= FRAME_BYTES {
            self.flush_records()?;
            self.pending.set_family(family);
        }
        self.pending_bytes += key.len() + value.len();
        self.pending.records.push(pb::KeyValue {
            key: key.to_vec(),
            value: value.to_vec(),
        });
        self.count += 1;
        Ok(())
    }

    /// Completes the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn finish(mut self) -> Result<SnapshotFile, StorageError> {
        self.flush_records()?;
        let footer = pb::SnapshotFooter {
            records: self.count,
            crc32c: self.crc,
        };
        self.frame(FOOTER, &footer.encode_to_vec())?;
        self.out
            .flush()
            .map_err(StorageError::io(self.temporary.path()))?;
        self.out
            .get_ref()
            .sync_all()
            .map_err(StorageError::io(self.temporary.path()))?;
        self.temporary.rename(&self.target)?;
        SnapshotFile::open(&self.target)
    }

    fn flush_records(&mut self) -> Result<(), StorageError> {
        let records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if records.records.is_empty() {
            return Ok(());
        }
        self.frame(RECORDS, &records.encode_to_vec())
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), StorageError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|&length| length as usize <= FRAME_BYTES_MAX)
            .ok_or_else(|| corrupt(self.temporary.path(), "a record is too long for a snapshot"))?;
        self.put(&[kind])?;
        self.put(&length.to_be_bytes())?;
        self.put(&crc32c::crc32c(payload).to_be_bytes())?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.out
            .write_all(bytes)
            .map_err(StorageError::io(self.temporary.path()))
    }
}

/// The extension of files that are not complete.
pub const TEMPORARY: &str = "tmp";

fn corrupt(path: &Path, what: &str) -> StorageError {
    StorageError::CorruptSnapshot {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

/// Reads from a place of its own: handles of one file share the kernel's position.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let length = self.file.read_at(bytes, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

/// Reads frame after frame from the start of a file.
struct Frames<'a> {
    path: &'a Path,
    input: BufReader<At<'a>>,
    crc: u32,
    count: u64,
    header: pb::SnapshotHeader,
}

impl<'a> Frames<'a> {
    fn start(path: &'a Path, file: &'a File) -> Result<Self, StorageError> {
        let input = BufReader::new(At { file, offset: 0 });
        let mut frames = Self {
            path,
            input,
            crc: 0,
            count: 0,
            header: pb::SnapshotHeader::default(),
        };
        let mut start = [0; MAGIC.len() + 1];
        frames.take(&mut start)?;
        let (magic, format) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(corrupt(path, "it is no snapshot file"));
        }
        if format[0] > FORMAT {
            return Err(StorageError::NewerFormat {
                place: format!("snapshot {}", path.display()),
                found: format[0],
                supported: FORMAT,
            });
        }
        let (kind, payload, _) = frames.frame()?;
        if kind != HEADER {
            return Err(corrupt(path, "the header is missing"));
        }
        frames.header = frames.decode(&payload)?;
        Ok(frames)
    }

    /// The next frame of records; `None` after a footer that fits all that came before.
    fn next(&mut self) -> Result<Option<pb::SnapshotRecords>, StorageError> {
        let (kind, payload, before) = self.frame()?;
        match kind {
            RECORDS => {
                let records: pb::SnapshotRecords = self.decode(&payload)?;
                self.count += records.records.len() as u64;
                Ok(Some(records))
            }
            FOOTER => {
                let footer: pb::SnapshotFooter = self.decode(&payload)?;
                let mut rest = [0];
                let more = self
                    .input
                    .read(&mut rest)
                    .map_err(StorageError::io(self.path))?;
                if footer.crc32c != before || footer.records != self.count || more != 0 {
                    return Err(corrupt(self.path, "the footer does not fit the content"));
                }
                Ok(None)
            }
            _ => Err(corrupt(self.path, "a frame of unknown kind")),
        }
    }

    /// Kind, payload, and the checksum of all bytes before this frame.
    fn frame(&mut self) -> Result<(u8, Vec<u8>, u32), StorageError> {
        let before = self.crc;
        let mut head = [0; 9];
        self.take(&mut head)?;
        let number =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = number(1) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(corrupt(self.path, "a frame is too long"));
        }
        let mut payload = vec![0; length];
        self.take(&mut payload)?;
        if crc32c::crc32c(&payload) != number(5) {
            return Err(corrupt(self.path, "the checksum of a frame does not match"));
        }
        Ok((head[0], payload, before))
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), StorageError> {
        self.input.read_exact(bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                corrupt(self.path, "it ends too early")
            } else {
                StorageError::io(self.path)(error)
            }
        })?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(())
    }

    fn decode<M: Message + Default>(&self, payload: &[u8]) -> Result<M, StorageError> {
        M::decode(payload).map_err(|error| corrupt(self.path, &error.to_string()))
    }
}
