//! An engine in memory, for tests and simulation: it knows what would survive a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::engine::{Batch, Engine, EngineError, Part, RawRecord, Records, Storage, View};
use super::error::StorageError;
use super::keys;

/// Databases in memory, one a directory. Clones are the same ones, so that a database can be
/// opened again.
#[derive(Clone, Default)]
pub struct Memory {
    disks: Arc<Mutex<Disks>>,
    sync_takes: Option<SyncTakes>,
}

/// How long a sync of a disk takes that is played. Clones are the same disk's.
#[derive(Clone)]
pub struct SyncTakes(Arc<AtomicU64>);

impl SyncTakes {
    /// As of now.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// From now on.
    pub fn set(&self, takes: Duration) {
        let micros = u64::try_from(takes.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }
}

type Disks = BTreeMap<PathBuf, Arc<Mutex<Disk>>>;

/// One family. Shared with whoever reads it; copied if it is written meanwhile.
type Map = Arc<BTreeMap<Arc<[u8]>, Arc<[u8]>>>;

/// The content of a database at one moment.
#[derive(Clone)]
struct Content {
    families: BTreeMap<&'static str, Map>,
    sequence: u64,
}

/// A database and what of it is durable.
struct Disk {
    written: Content,
    durable: Content,
    /// The batches written since the last sync.
    pending: Vec<Vec<Part>>,
    /// So many of those are with the operating system.
    pushed: usize,
    open: bool,
    /// No space is left: nothing more reaches the disk.
    full: bool,
    /// The machine has crashed: what is still held of it reaches no disk any more.
    dead: bool,
}

impl Memory {
    /// No databases yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with syncs that take so long on the runtime's clock and no thread of their own.
    pub fn played(sync_takes: Duration) -> Self {
        let takes = SyncTakes(Arc::default());
        takes.set(sync_takes);
        Self {
            sync_takes: Some(takes),
            ..Self::default()
        }
    }

    /// How long a sync takes from now on, if the disk is played.
    pub fn set_sync_takes(&self, takes: Duration) {
        if let Some(played) = &self.sync_takes {
            played.set(takes);
        }
    }

    /// Takes the power away: returns what a restart would find, which is what was synced. Whatever
    /// still uses this one fails from now on.
    pub fn crash(&self) -> Self {
        self.crash_with(0)
    }

    /// The same, but so many of the batches that were not synced had reached the disk by chance.
    pub fn crash_with(&self, batches: usize) -> Self {
        self.end(|disk| batches.min(disk.pending.len()))
    }

    /// Whether no space is left, so that nothing written from now on can be synced.
    pub fn set_full(&self, full: bool) {
        for disk in self.disks.lock().values() {
            disk.lock().full = full;
        }
    }

    /// Kills the process: returns what a restart would find, which is what was synced or pushed.
    /// Whatever still uses this one fails from now on.
    pub fn kill(&self) -> Self {
        self.end(|disk| disk.pushed)
    }

    /// Whether anything written is not durable yet.
    pub fn has_unsynced(&self) -> bool {
        let disks = self.disks.lock();
        disks.values().any(|disk| !disk.lock().pending.is_empty())
    }

    /// Turns over one bit of one value on the disk, while nobody uses it: which is asked of `choose`, which is given a
    /// number of choices and answers with one of them. Whose bit it was; `None` if nothing is kept.
    ///
    /// Keys are left alone: what is stored beside a value checks only what is read, and RocksDB's own checksums, which
    /// this engine has no need of, would find out that a record is gone.
    pub fn turn_over(&self, mut choose: impl FnMut(usize) -> usize) -> Option<String> {
        let disks = self.disks.lock();
        let disk = disks.values().next()?;
        let mut disk = disk.lock();
        let filled = disk
            .durable
            .families
            .iter()
            .filter(|(_, map)| !map.is_empty());
        let filled: Vec<&'static str> = filled.map(|(name, _)| *name).collect();
        if filled.is_empty() {
            return None;
        }
        let family = filled[choose(filled.len())];
        let map = disk.durable.family_mut(family);
        let nth = choose(map.len());
        let (key, value) = map.iter_mut().nth(nth)?;
        let mut bytes = value.to_vec();
        let bit = choose(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        *value = bytes.into();
        let whose = format!("bit {bit} of {key:02x?} in {family}");
        disk.written = disk.durable.clone();
        Some(whose)
    }

    /// The same databases, one of them in another directory.
    pub fn moved(self, from: &Path, to: &Path) -> Self {
        let mut disks = self.disks.lock();
        if let Some(disk) = disks.remove(from) {
            disks.insert(to.to_owned(), disk);
        }
        drop(disks);
        self
    }

    fn end(&self, kept: impl Fn(&Disk) -> usize) -> Self {
        let disks = self.disks.lock();
        let found = disks.iter().map(|(dir, disk)| {
            let mut disk = disk.lock();
            disk.dead = true;
            let mut content = disk.durable.clone();
            for part in disk.pending[..kept(&disk)].iter().flatten() {
                content.apply(part);
            }
            (dir.clone(), Arc::new(Mutex::new(Disk::holding(content))))
        });
        Self {
            disks: Arc::new(Mutex::new(found.collect())),
            sync_takes: self.sync_takes.clone(),
        }
    }

    fn disk(&self, dir: &Path) -> Option<Arc<Mutex<Disk>>> {
        self.disks.lock().get(dir).cloned()
    }
}

impl Storage for Memory {
    fn open(&self, dir: &Path, create: bool) -> Result<Arc<dyn Engine>, StorageError> {
        let mut disks = self.disks.lock();
        if !create && !disks.contains_key(dir) {
            return Err(StorageError::Database {
                dir: dir.to_owned(),
                source: EngineError::new("there is none in memory"),
            });
        }
        let disk = disks.entry(dir.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Disk::holding(Content {
                families: keys::FAMILIES.map(|name| (name, Map::default())).into(),
                sequence: 0,
            })))
        });
        if std::mem::replace(&mut disk.lock().open, true) {
            let dir = dir.to_owned();
            return Err(StorageError::Held { dir });
        }
        Ok(Arc::new(Open(disk.clone())))
    }

    fn filled(&self, dir: &Path) -> bool {
        self.disk(dir).is_some()
    }

    fn families(&self, dir: &Path) -> Option<BTreeSet<String>> {
        self.disk(dir)?;
        Some(keys::FAMILIES.map(str::to_owned).into())
    }

    fn missing(&self, _dir: &Path) -> Option<&'static str> {
        None
    }

    fn logs(&self, _dir: &Path) -> Result<Vec<String>, StorageError> {
        Ok(vec!["in memory".to_owned()])
    }

    fn sync_takes(&self) -> Option<SyncTakes> {
        self.sync_takes.clone()
    }
}

impl Content {
    fn family(&self, name: &str) -> &Map {
        self.families
            .get(name)
            .expect("every family is made with the database")
    }

    fn family_mut(&mut self, name: &str) -> &mut BTreeMap<Arc<[u8]>, Arc<[u8]>> {
        let map = self.families.get_mut(name);
        Arc::make_mut(map.expect("every family is made with the database"))
    }

    fn apply(&mut self, part: &Part) {
        match part {
            Part::Put { family, key, value } => {
                self.family_mut(family)
                    .insert(key.as_slice().into(), value.as_slice().into());
            }
            Part::Delete { family, key } => {
                self.family_mut(family).remove(key.as_slice());
            }
            Part::DeleteRange { family, from, to } => {
                let map = self.family_mut(family);
                let keys: Vec<_> = within(map, from, to).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    map.remove(&key);
                }
            }
        }
        self.sequence += 1;
    }
}

impl Disk {
    fn holding(content: Content) -> Self {
        Self {
            written: content.clone(),
            durable: content,
            pending: Vec::new(),
            pushed: 0,
            open: false,
            full: false,
            dead: false,
        }
    }

    fn takes_more(&self) -> Result<(), EngineError> {
        self.alive()?;
        if self.full && !self.pending.is_empty() {
            return Err(EngineError::new("no space is left on the disk"));
        }
        Ok(())
    }

    fn alive(&self) -> Result<(), EngineError> {
        if self.dead {
            return Err(EngineError::new("the machine has crashed"));
        }
        Ok(())
    }
}

/// Refused as a whole, since RocksDB refuses it.
fn is_reversed(part: &Part) -> bool {
    matches!(part, Part::DeleteRange { from, to, .. } if to < from)
}

/// The records of a range; none if it is the wrong way round, as in RocksDB.
fn within<'a>(
    map: &'a BTreeMap<Arc<[u8]>, Arc<[u8]>>,
    from: &[u8],
    to: &[u8],
) -> impl DoubleEndedIterator<Item = (&'a Arc<[u8]>, &'a Arc<[u8]>)> {
    let to = to.max(from);
    map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
}

/// A database in use.
struct Open(Arc<Mutex<Disk>>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut disk = self.0.lock();
        // A database that is closed keeps nothing to itself.
        disk.pushed = disk.pending.len();
        disk.open = false;
    }
}

impl Engine for Open {
    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut disk = self.0.lock();
        disk.alive()?;
        let parts = batch.into_parts();
        if parts.iter().any(is_reversed) {
            return Err(EngineError::new("a range ends before it starts"));
        }
        for part in &parts {
            disk.written.apply(part);
        }
        disk.pending.push(parts);
        Ok(())
    }

    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let disk = self.0.lock();
        Ok(disk.written.family(family).get(key).map(|v| v.to_vec()))
    }

    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_> {
        let map = self.0.lock().written.family(family).clone();
        records(map, from, to)
    }

    fn last(&self, family: &str, from: &[u8], to: &[u8]) -> Result<Option<RawRecord>, EngineError> {
        let disk = self.0.lock();
        let found = within(disk.written.family(family), from, to).next_back();
        Ok(found.map(|(key, value)| ((**key).into(), (**value).into())))
    }

    fn view(&self) -> Box<dyn View + '_> {
        Box::new(Moment(self.0.lock().written.clone()))
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut disk = self.0.lock();
        disk.takes_more()?;
        for part in std::mem::take(&mut disk.pending).into_iter().flatten() {
            disk.durable.apply(&part);
        }
        disk.pushed = 0;
        Ok(())
    }

    fn push(&self) -> Result<(), EngineError> {
        let mut disk = self.0.lock();
        disk.takes_more()?;
        disk.pushed = disk.pending.len();
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.0.lock().written.sequence
    }

    #[cfg(test)]
    fn write_out(&self) -> Result<(), EngineError> {
        self.sync()
    }
}

struct Moment(Content);

impl View for Moment {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.family(family).get(key).map(|value| value.to_vec()))
    }

    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_> {
        records(self.0.family(family).clone(), from, to)
    }
}

/// Walks over a range of a map it keeps hold of.
fn records(map: Map, from: &[u8], to: &[u8]) -> Records<'static> {
    let mut from = Bound::Included(Arc::<[u8]>::from(from));
    let to = to.to_vec();
    Box::new(std::iter::from_fn(move || {
        let start = from.as_ref().map(|key| &**key);
        let (key, value) = map.range::<[u8], _>((start, Bound::Unbounded)).next()?;
        if **key >= *to {
            return None;
        }
        from = Bound::Excluded(key.clone());
        Some(Ok(((**key).into(), (**value).into())))
    }))
}
