//! The keys of every record. All numbers are big-endian, so that keys sort as numbers do.
//!
//! | family | key |
//! |---|---|
//! | `raft_log` | group, index |
//! | `raft_meta` | group, name |
//! | `state`, `history` | group, generation, the machine's own key |

/// The column family of log entries.
pub const LOG: &str = "raft_log";
/// The column family of Raft's own records.
pub const META: &str = "raft_meta";
/// The column family of the machine's state, all of it read at start.
pub const STATE: &str = "state";
/// The column family of what the machine only ever adds to and looks up.
pub const HISTORY: &str = "history";
/// Every column family of a database.
pub const FAMILIES: [&str; 4] = [LOG, META, STATE, HISTORY];

/// A record of `raft_meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// Whose directory this is.
    Identity,
    /// The node's vote.
    Vote,
    /// The last index known to be committed.
    Committed,
    /// The last entry that Raft has done with, because a snapshot covers it.
    Purged,
    /// The last of those that is gone from the disk; without it all are.
    Trimmed,
    /// Last applied entry, membership and live generation.
    Applied,
}

impl Meta {
    /// Its name in the key, which is also its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Trimmed => "trimmed",
            Self::Applied => "applied",
        }
    }

    /// The key of this record of `group`.
    pub fn key(self, group: u32) -> Vec<u8> {
        let mut key = group.to_be_bytes().to_vec();
        key.extend_from_slice(self.name().as_bytes());
        key
    }
}

/// The key of the log entry at `index`.
pub fn log(group: u32, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The least key after that of the log entry at `index`, the last index there is included.
pub fn log_after(group: u32, index: u64) -> [u8; 13] {
    let mut key = [0; 13];
    key[..12].copy_from_slice(&log(group, index));
    key
}

/// The index in a log key; `None` for a key that is none.
pub fn log_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(4..)?.try_into().ok()?))
}

/// What every log key of `group` is below. Eight bytes `0xff` alone would leave out the last index.
pub fn log_end(group: u32) -> [u8; 13] {
    let mut end = [0xff; 13];
    end[..4].copy_from_slice(&group.to_be_bytes());
    end
}

/// The first key of a generation, also the prefix of all its keys. Generations are far below
/// `u64::MAX`, so `generation(group, g + 1)` is always the end of `g`.
pub fn generation(group: u32, generation: u64) -> [u8; 12] {
    log(group, generation)
}

/// The key of a machine's `key`.
pub fn data(group: u32, generation_number: u64, key: &[u8]) -> Vec<u8> {
    let mut out = generation(group, generation_number).to_vec();
    out.extend_from_slice(key);
    out
}

/// The machine's key inside a data key.
pub fn data_key(key: &[u8]) -> &[u8] {
    key.get(12..).unwrap_or_default()
}
