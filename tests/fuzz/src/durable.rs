//! Commands, replies, parts of the state and the history, as they stand on disk and travel between nodes.

use meridian_node::convert::{Corrupt, command as commands, entity, history};
use meridian_routing::effect::Reject;
use meridian_routing::version::Version;

use crate::names;

fn told(error: &Corrupt) {
    match error {
        Corrupt::Decode { what, .. } | Corrupt::Missing(what) => names(what, error),
        Corrupt::Newer { found, known } => assert!(found > known || *found == 0, "{error}"),
    }
}

/// Commands of the log, and what they were answered.
pub fn command(data: &[u8]) {
    match commands::decode(7, data) {
        Ok((stamped, traced)) => {
            let (id, actor) = (&stamped.request_id, &stamped.actor);
            let bytes = commands::encode(stamped.at, id, actor, &traced, &stamped.command);
            let again = commands::decode(7, &bytes);
            assert_eq!(again, Ok((stamped.clone(), traced.clone())));
            // What a follower can read, a leader can stamp.
            let now = commands::stamp(data, 5).expect("what is read can be stamped");
            let (later, trace) = commands::decode(7, &now).expect("what is stamped is read");
            assert_eq!((later.at, &trace), (5, &traced));
            assert_eq!(
                (later.command, later.actor),
                (stamped.command.clone(), stamped.actor)
            );
            if let Err(reject) = stamped.command.check()
                && let Reject::Invalid { field, .. } | Reject::Unknown { field, .. } = &reject
            {
                names(field, &reject);
            }
            assert!(!stamped.command.subject().is_empty());
        }
        Err(error) => {
            told(&error);
            assert!(
                commands::stamp(data, 5).is_err(),
                "nobody could apply it: {error}"
            );
        }
    }
    match commands::decode_reply(data) {
        Ok(reply) => {
            let bytes = commands::encode_reply(&reply);
            assert_eq!(commands::decode_reply(&bytes), Ok(reply));
        }
        Err(error) => told(&error),
    }
}

/// Parts of the state, closed chats, and versions of the configuration.
pub fn state(data: &[u8]) {
    match entity::decode(data) {
        Ok(part) => assert_eq!(entity::decode(&entity::encode(&part)), Ok(part)),
        Err(error) => told(&error),
    }
    match history::decode_chat(data) {
        Ok(chat) => {
            let (key, bytes) = history::encode_chat(&chat);
            assert_eq!(key, history::chat_key(&chat.id));
            assert_eq!(history::decode_chat(&bytes), Ok(chat));
        }
        Err(error) => told(&error),
    }
    match history::decode_version(data) {
        Ok((head, _)) => {
            let entries = history::encode_version(&head);
            assert_eq!(history::decode_version(&entries[0].1), Ok((head, 0)));
        }
        Err(error) => told(&error),
    }
    match history::decode_change(data) {
        Ok(change) => {
            let version = Version {
                number: 1,
                index: 2,
                at: 3,
                actor: String::new(),
                changes: vec![change.clone()],
            };
            let entries = history::encode_version(&version);
            assert_eq!(history::decode_change(&entries[1].1), Ok(change));
        }
        Err(error) => told(&error),
    }
}
