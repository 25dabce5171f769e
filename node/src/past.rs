//! What was: closed chats, former configurations, and the state at any moment that this node still keeps.

use std::cell::RefCell;

use meridian_routing::ids::*;
use meridian_routing::state::{Chat, State};
use meridian_routing::version::Version;

use crate::convert::{command, entity, history};
use crate::driver::{DriveError, Driver};
use crate::raft::PastError;
use crate::raft::past::Past;

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The last one at or before a time.
    At(Millis),
    /// Right after the command of a log index.
    Index(u64),
}

impl Driver {
    /// A closed chat of the history of this replica.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn history(&self, id: &ChatId) -> Result<Option<Chat>, DriveError> {
        let found = self.recorded(history::chat_key(id)).await?;
        let chat = found.map(|bytes| history::decode_chat(&bytes));
        chat.transpose().map_err(DriveError::internal)
    }

    /// A version of the configuration with at most so many of its changes, and how many it has; `None` = there is no
    /// such version.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn version(
        &self,
        number: u64,
        changes_max: u32,
    ) -> Result<Option<(Version, u32)>, DriveError> {
        let Some(head) = self.recorded(history::version_key(number)).await? else {
            return Ok(None);
        };
        let (mut version, changes) =
            history::decode_version(&head).map_err(DriveError::internal)?;
        for place in 0..changes.min(changes_max) {
            let found = self.recorded(history::change_key(number, place)).await?;
            let change = found.map(|bytes| history::decode_change(&bytes));
            let missing = || DriveError::Internal(format!("version {number} lacks change {place}"));
            let change = change.ok_or_else(missing)?;
            version.changes.push(change.map_err(DriveError::internal)?);
        }
        Ok(Some((version, changes)))
    }

    /// The configuration as it was in a version; `None` = there is no such version.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn configuration(&self, number: u64) -> Result<Option<State>, DriveError> {
        let mut then = self.state().configuration();
        // The state is ahead of the disk for a moment.
        let (mut progress, index) = (self.progress(), then.meta().index);
        let written = progress.wait_for(|p| p.index >= index).await;
        written.map_err(|_| DriveError::Stopping)?;
        if number > then.meta().version {
            return Ok(None);
        }
        while then.meta().version > number {
            let newest = then.meta().version;
            let Some((version, _)) = self.version(newest, u32::MAX).await? else {
                let lacks = format!("the history lacks version {newest}");
                return Err(DriveError::Internal(lacks));
            };
            then.undo(version);
        }
        Ok(Some(then))
    }

    async fn recorded(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, DriveError> {
        let found = self.group()?.history(key).await;
        found.map_err(DriveError::internal)
    }

    /// The state as it was at a former moment, of the chat with everybody who was weighed for its last decision.
    ///
    /// # Errors
    /// [`PastError::NotKept`] for a moment that this node does not keep. One that is yet to come counts as now.
    pub async fn then(&self, moment: Moment, chat: ChatId) -> Result<State, PastError> {
        let newest = self.progress().borrow().index;
        let group = self.group();
        let group = group.map_err(|e| PastError::Refused(e.to_string()))?;
        group
            .past(move |past| {
                let to = match moment {
                    Moment::Index(index) => index.min(newest),
                    Moment::At(at) => last_before(past, at, newest)?,
                };
                let mut then = relive(past, to, to, |_, _| {})?;
                // What is begun with may be later already.
                if let Moment::At(at) = moment
                    && then.meta().now > at
                {
                    return Err(PastError::NotKept(past.oldest()?));
                }
                let decided = then.chats().get(&chat).and_then(|chat| {
                    let mut events = chat.events.iter();
                    events.rfind(|e| !e.candidates.is_empty()).map(|e| e.index)
                });
                // Once more, to look on when it was decided; of what is too long ago the sample stays.
                if let Some(index) = decided
                    && let Ok(told) = relive(past, index - 1, index, |next, state| {
                        if next == index {
                            state.ask_of(&chat);
                        }
                    })
                    && let Some(told) = told.chats().get(&chat)
                {
                    then.recall(told, index);
                }
                Ok(then)
            })
            .await
    }
}

/// The state right after an index, begun from one at or before `from`, with a look at it before each command.
fn relive(
    past: &Past,
    from: u64,
    to: u64,
    before: impl Fn(u64, &mut State),
) -> Result<State, PastError> {
    let state = RefCell::new(State::default());
    let restore = |entries: Vec<(Vec<u8>, Vec<u8>)>| {
        let entities = entries.iter().map(|(_, value)| entity::decode(value));
        let entities = entities.collect::<Result<Vec<_>, _>>();
        *state.borrow_mut() = State::restore(entities.map_err(|e| e.to_string())?);
        Ok(())
    };
    let apply = |index, bytes: &[u8]| {
        let (stamped, _) = command::decode(index, bytes).map_err(|e| e.to_string())?;
        let mut state = state.borrow_mut();
        before(index, &mut state);
        state.apply(&stamped);
        Ok(())
    };
    past.relive(from, to, restore, apply)?;
    Ok(state.into_inner())
}

/// The last index of a command stamped at or before a time. The leader's time never goes back.
fn last_before(past: &Past, at: Millis, newest: u64) -> Result<u64, PastError> {
    let stamp = |from: u64| {
        let Some((index, bytes)) = past.command(from, newest)? else {
            return Ok::<_, PastError>(None);
        };
        let read = command::decode(index, &bytes);
        let (stamped, _) = read.map_err(|e| PastError::Refused(e.to_string()))?;
        Ok(Some(stamped.at))
    };
    let Some(mut low) = past.oldest()? else {
        return Err(PastError::NotKept(None));
    };
    // The first index of which the next command is later, found by halving.
    let mut high = newest + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        if stamp(middle)?.is_some_and(|stamped| stamped <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low - 1)
}
