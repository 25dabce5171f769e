//! Backups: a state and its history in one file, whose own checks tell whether it is whole, and the data directory of a
//! new cluster made of one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use meridian_proto::log::v1 as pb;
use openraft::EntryPayload;

use super::convert;
use super::log_store::LogStore;
use super::snapshots::{self, SnapshotDir};
use super::types::{LogId, Membership, Node, NodeId, StoredMembership, Vote};
use crate::storage::keys::Meta;
use crate::storage::snapshot::{SnapshotFile, SnapshotWriter, Temporary};
use crate::storage::{Batch, Db, Storage, StorageError, View};

/// The group of every cluster so far.
const GROUP: u32 = 1;

/// A key of the machine, and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// What the history shows of a record at a former moment; `None` = it was not there yet.
pub type AsThen = Box<dyn Fn(&[u8], &[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// A state of a former moment, or one that the disk does not show yet.
pub struct Former {
    /// The last entry in it.
    pub last_applied: LogId,
    /// Every record of the state.
    pub state: Vec<Record>,
    /// Its hash.
    pub hash: u64,
    /// What of the history was there already.
    pub as_then: AsThen,
    /// Records of the history that the disk does not show.
    pub history: Vec<Record>,
}

/// What a backup is written from.
pub(super) struct Source<'a> {
    pub db: &'a Db,
    pub view: &'a dyn View,
    pub group: u32,
    pub last_applied: Option<LogId>,
    pub membership: Option<pb::StoredMembership>,
    pub hash: u64,
}

/// Why nothing can be made of a backup, or of what a node left.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory is in use.
    #[error("{} is not empty: give a directory that is new, or clear this one", .0.display())]
    NotEmpty(PathBuf),
    /// The file is a snapshot, but no backup.
    #[error("{} is no backup: give a file that `meridian backup create` wrote", .0.display())]
    NoBackup(PathBuf),
    /// The directory holds no state.
    #[error("{} holds nothing to recover: no entry was ever applied there", .0.display())]
    Nothing(PathBuf),
    /// It does not read back as written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The machine cannot read it.
    #[error("{}: {what}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Writes a backup under `temporary`.
pub(super) fn write(
    source: &Source,
    former: Option<&Former>,
    backup: pb::Backup,
    temporary: Temporary,
) -> Result<SnapshotFile, StorageError> {
    let (last_applied, state_hash) = match former {
        Some(former) => (Some(former.last_applied), former.hash),
        None => (source.last_applied, source.hash),
    };
    let header = pb::SnapshotHeader {
        group: source.group,
        last_applied: convert::log_id_opt_out(last_applied.as_ref()),
        membership: source.membership.clone(),
        log_bytes: 0,
        backup: Some(pb::Backup {
            state_hash,
            ..backup
        }),
    };
    let target = temporary.path().with_extension("backup.tmp");
    let mut writer = SnapshotWriter::create(&target, temporary, &header)?;
    let Source {
        db, view, group, ..
    } = source;
    for (key, value) in former.iter().flat_map(|f| &f.state) {
        writer.add(pb::Family::State, key, value)?;
    }
    snapshots::each(
        db,
        *view,
        *group,
        &mut |family, key, value| match (former, family) {
            (Some(_), pb::Family::State) => Ok(()),
            (Some(former), _) => match (former.as_then)(key, value) {
                Some(value) => writer.add(family, key, &value),
                None => Ok(()),
            },
            (None, _) => writer.add(family, key, value),
        },
    )?;
    for (key, value) in former.iter().flat_map(|f| &f.history) {
        writer.add(pb::Family::History, key, value)?;
    }
    writer.finish()?;
    SnapshotFile::open_temporary(Temporary::new(target))
}

/// The first node of a cluster to be made.
#[derive(Clone, Debug)]
pub struct First {
    /// The cluster's name.
    pub cluster_id: String,
    /// The node's number.
    pub node_id: NodeId,
    /// Where it is reached, where it stands, and the mark of the founding.
    pub node: Node,
}

/// What a backup holds, once all of it was read and found whole: `hash` is given the state's records, `history` each key of
/// the history.
///
/// # Errors
/// [`RestoreError`].
pub fn verify(
    path: &Path,
    hash: impl FnOnce(&[Record]) -> Result<u64, String>,
    history: &mut dyn FnMut(&[u8]),
) -> Result<(SnapshotFile, pb::Backup), RestoreError> {
    let file = SnapshotFile::open(path)?;
    let no_backup = || RestoreError::NoBackup(path.to_owned());
    let backup = file.header().backup.clone().ok_or_else(no_backup)?;
    let refused = |what: String| RestoreError::Refused {
        path: path.to_owned(),
        what,
    };
    let mut state = Vec::new();
    file.read(|records| {
        match records.family() {
            pb::Family::State => {
                state.extend(records.records.into_iter().map(|r| (r.key, r.value)))
            }
            _ => records.records.iter().for_each(|r| history(&r.key)),
        }
        Ok(())
    })?;
    let found = hash(&state).map_err(refused)?;
    if found != backup.state_hash {
        return Err(refused(format!(
            "its state has the hash {found:016x}, and {:016x} was written down with it",
            backup.state_hash
        )));
    }
    Ok((file, backup))
}

/// Makes the data directory of the first node of a new cluster from a backup that was found whole, with a record more in
/// its history. Others are added to it as to any cluster.
///
/// # Errors
/// [`RestoreError`]; what was made of the directory so far is of no use then, and no node starts on it.
pub fn restore(
    storage: &dyn Storage,
    backup: &SnapshotFile,
    data_dir: &Path,
    first: &First,
    (key, value): &Record,
) -> Result<(), RestoreError> {
    must_be_empty(data_dir)?;
    let last_applied = backup.header().last_applied;
    let alone = Membership::new(
        vec![BTreeSet::from([first.node_id])],
        BTreeMap::from([(first.node_id, first.node.clone())]),
    );
    let alone = alone.map_err(|error| RestoreError::Refused {
        path: data_dir.to_owned(),
        what: error.to_string(),
    })?;
    let log_id = convert::log_id_opt_in(last_applied.as_ref());
    let stored = StoredMembership::new(log_id, alone);
    let header = pb::SnapshotHeader {
        group: GROUP,
        last_applied,
        membership: Some(convert::stored_membership_out(&stored)),
        log_bytes: 0,
        backup: None,
    };
    let dir = SnapshotDir::new(data_dir.join("snapshots"), GROUP);
    let db = Db::open(storage, data_dir)?;
    // What is not finished is refused by every node for this file, which is none of theirs.
    let unfinished = data_dir.join("RESTORING");
    std::fs::File::create(&unfinished)
        .and_then(|file| file.sync_all())
        .map_err(StorageError::io(&unfinished))?;
    std::fs::create_dir_all(dir.path()).map_err(StorageError::io(dir.path()))?;
    let target = dir.target(last_applied.map_or(0, |id| id.index));
    let mut writer = SnapshotWriter::create(&target, dir.incoming(), &header)?;
    backup.read(|records| {
        let family = records.family();
        for record in &records.records {
            writer.add(family, &record.key, &record.value)?;
        }
        Ok(())
    })?;
    writer.add(pb::Family::History, key, value)?;
    let file = writer.finish()?;
    snapshots::load(&db, &file, GROUP, 1)?;
    // Its first term must come after that of the last entry.
    let vote = Vote::new(last_applied.map_or(0, |id| id.term), first.node_id);
    let mut batch = Batch::default();
    db.put_meta(&mut batch, GROUP, Meta::Vote, &convert::vote_out(&vote));
    db.write(batch)?;
    snapshots::switch(&db, &file, GROUP, 1)?;
    let identity = pb::Identity {
        cluster_id: first.cluster_id.clone(),
        node_id: first.node_id,
        group: GROUP,
    };
    db.claim(&identity)?;
    std::fs::remove_file(&unfinished).map_err(StorageError::io(&unfinished))?;
    Ok(())
}

/// Refuses a directory that holds anything; a file system mounted there has a `lost+found` of its own.
///
/// # Errors
/// [`RestoreError::NotEmpty`].
pub fn must_be_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let Ok(files) = std::fs::read_dir(data_dir) else {
        return Ok(());
    };
    let mut names = files.flatten().map(|file| file.file_name());
    match names.any(|name| name != "lost+found") {
        true => Err(RestoreError::NotEmpty(data_dir.to_owned())),
        false => Ok(()),
    }
}

/// What a node left that does not run: its state with everything in its log, decided or not.
pub struct Remains {
    db: std::sync::Arc<Db>,
    identity: pb::Identity,
    applied: pb::Applied,
    end: LogId,
}

impl Remains {
    /// Opens the data directory of a node that does not run, and reads all of it once.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn open(storage: &dyn Storage, data_dir: &Path) -> Result<Self, RestoreError> {
        let nothing = || RestoreError::Nothing(data_dir.to_owned());
        let db = Db::open_existing(storage, data_dir)?.ok_or_else(nothing)?;
        let identity = db.owner()?.ok_or_else(nothing)?;
        let applied: pb::Applied = db.meta(GROUP, Meta::Applied)?.unwrap_or_default();
        let last = convert::log_id_opt_in(applied.last_applied.as_ref());
        let checked = LogStore::new(db.clone(), GROUP).check(last)?;
        let end = checked.last.max(last).ok_or_else(nothing)?;
        Ok(Self {
            db,
            identity,
            applied,
            end,
        })
    }

    /// The last entry.
    pub fn end(&self) -> LogId {
        self.end
    }

    /// Whose they are.
    pub fn identity(&self) -> &pb::Identity {
        &self.identity
    }

    /// The mark of the cluster's founding.
    pub fn founded(&self) -> String {
        let stored = self.applied.membership.as_ref();
        let members = stored.and_then(|s| s.membership.as_ref());
        let mut nodes = members.into_iter().flat_map(|m| m.nodes.values());
        nodes.next().map_or(String::new(), |n| n.founded.clone())
    }

    /// The records of the state that is on disk.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if one does not read back.
    pub fn state(&self) -> Result<Vec<Record>, StorageError> {
        let mut state = Vec::new();
        let view = self.db.view();
        snapshots::each(&self.db, &*view, GROUP, &mut |family, key, value| {
            if family == pb::Family::State {
                state.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })?;
        Ok(state)
    }

    /// Shows every command in the log that is not in that state, in order.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if one does not read back.
    pub fn since(&self, each: &mut dyn FnMut(u64, &[u8])) -> Result<(), StorageError> {
        let from = self.applied.last_applied.map_or(0, |id| id.index + 1);
        let log = LogStore::new(self.db.clone(), GROUP);
        log.visit(from, self.end.index, &mut |entry, _| {
            if let EntryPayload::Normal(command) = &entry.payload {
                each(entry.log_id.index, &command.0);
            }
            true
        })
    }

    /// Writes a backup of it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn backup(
        &self,
        whole: Former,
        backup: pb::Backup,
        temporary: Temporary,
    ) -> Result<SnapshotFile, StorageError> {
        let view = self.db.view();
        let source = Source {
            db: &self.db,
            view: &*view,
            group: GROUP,
            last_applied: None,
            membership: self.applied.membership.clone(),
            hash: 0,
        };
        write(&source, Some(&whole), backup, temporary)
    }
}
