//! What the history keeps: closed chats, the versions of the configuration, and how the cluster was made of others.

use meridian_proto::log::v1 as log;
use meridian_routing::ids::ChatId;
use meridian_routing::state::Chat;
use meridian_routing::version::{Change, How, Version};
use prost::Message as _;

use super::command::{change, read_change};
use super::model::some;
use super::{Corrupt, chat};

/// Where a closed chat is kept.
pub fn chat_key(chat: &ChatId) -> Vec<u8> {
    [&b"c"[..], chat.as_str().as_bytes()].concat()
}

/// Writes a closed chat.
pub fn encode_chat(closed: &Chat) -> (Vec<u8>, Vec<u8>) {
    (chat_key(&closed.id), chat::chat(closed).encode_to_vec())
}

/// Reads a closed chat.
///
/// # Errors
/// The bytes are not a chat this version knows.
pub fn decode_chat(bytes: &[u8]) -> Result<Chat, Corrupt> {
    let decoded = log::Chat::decode(bytes);
    chat::read_chat(decoded.map_err(|e| corrupt("closed chat", &e))?)
}

/// Where a version is kept. Numbers are big-endian, so that the order of bytes is the order of numbers.
pub fn version_key(number: u64) -> Vec<u8> {
    [&b"v"[..], &number.to_be_bytes()].concat()
}

/// Where one of its changes is kept, by its place.
pub fn change_key(number: u64, place: u32) -> Vec<u8> {
    [&b"w"[..], &number.to_be_bytes(), &place.to_be_bytes()].concat()
}

/// Writes a version: its head, then its changes, each on its own, for there may be very many.
pub fn encode_version(version: &Version) -> Vec<(Vec<u8>, Vec<u8>)> {
    let head = log::Version {
        number: version.number,
        index: version.index,
        at: version.at,
        actor: version.actor.clone(),
        changes: version.changes.len() as u32,
    };
    let mut entries = vec![(version_key(version.number), head.encode_to_vec())];
    for (place, made) in version.changes.iter().enumerate() {
        let value = log::VersionChange {
            how: made.how as u32,
            undo: Some(change(&made.undo)),
        };
        let key = change_key(version.number, place as u32);
        entries.push((key, value.encode_to_vec()));
    }
    entries
}

/// Reads the head of a version: the version without its changes, and how many there are.
///
/// # Errors
/// The bytes are no such head.
pub fn decode_version(bytes: &[u8]) -> Result<(Version, u32), Corrupt> {
    let head = log::Version::decode(bytes).map_err(|e| corrupt("version", &e))?;
    let version = Version {
        number: head.number,
        index: head.index,
        at: head.at,
        actor: head.actor,
        changes: Vec::new(),
    };
    Ok((version, head.changes))
}

/// Reads one change.
///
/// # Errors
/// The bytes are no change this version knows.
pub fn decode_change(bytes: &[u8]) -> Result<Change, Corrupt> {
    let decoded = log::VersionChange::decode(bytes).map_err(|e| corrupt("change", &e))?;
    let all = [How::Added, How::Replaced, How::Removed];
    let how = all.into_iter().find(|how| *how as u32 == decoded.how);
    Ok(Change {
        how: some(how, "change.how")?,
        undo: read_change(some(decoded.undo, "change.undo")?)?,
    })
}

/// How the keys of foundings begin.
pub const FOUNDINGS: u8 = b'f';

/// Where a founding is kept; they count from 1.
pub fn founding_key(number: u64) -> Vec<u8> {
    [&[FOUNDINGS][..], &number.to_be_bytes()].concat()
}

/// Writes a founding.
pub fn encode_founding(number: u64, founding: &log::Founding) -> (Vec<u8>, Vec<u8>) {
    (founding_key(number), founding.encode_to_vec())
}

/// Reads a founding. The routing core knows nothing of it, so it stays the message that it is.
///
/// # Errors
/// The bytes are none.
pub fn decode_founding(bytes: &[u8]) -> Result<log::Founding, Corrupt> {
    log::Founding::decode(bytes).map_err(|e| corrupt("founding", &e))
}

fn corrupt(what: &'static str, why: &prost::DecodeError) -> Corrupt {
    Corrupt::Decode {
        what,
        why: why.to_string(),
    }
}
