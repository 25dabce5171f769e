//! What was: closed chats, former configurations, and the state at any moment that this node still keeps.

use std::cell::RefCell;

use meridian_proto::log::v1 as log;
use meridian_routing::command::Stamped;
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
        let found = self.group()?.history(history::chat_key(id)).await;
        let found = found.map_err(DriveError::internal)?;
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
        self.written().await?;
        let read = self.group()?.with_history(move |get| {
            let get = |key: Vec<u8>| get(&key).map_err(DriveError::internal);
            let Some(head) = get(history::version_key(number))? else {
                return Ok(None);
            };
            let (mut version, changes) =
                history::decode_version(&head).map_err(DriveError::internal)?;
            for place in 0..changes.min(changes_max) {
                let change = get(history::change_key(number, place))?;
                let change = change.map(|bytes| history::decode_change(&bytes));
                let lacks =
                    || DriveError::Internal(format!("version {number} lacks change {place}"));
                let change = change.ok_or_else(lacks)?;
                version.changes.push(change.map_err(DriveError::internal)?);
            }
            Ok(Some((version, changes)))
        });
        read.await.map_err(DriveError::internal)?
    }

    /// How this cluster was made of others, the oldest first, as this replica's history tells.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn foundings(&self) -> Result<Vec<log::Founding>, DriveError> {
        let read = self.group()?.with_history(|get| {
            let mut foundings = Vec::new();
            for number in 1.. {
                let found = get(&history::founding_key(number)).map_err(DriveError::internal)?;
                let Some(bytes) = found else { break };
                let founding = history::decode_founding(&bytes);
                foundings.push(founding.map_err(DriveError::internal)?);
            }
            Ok(foundings)
        });
        read.await.map_err(DriveError::internal)?
    }

    /// Waits until what the state shows now is on disk: it is ahead of it for a moment.
    async fn written(&self) -> Result<(), DriveError> {
        let (mut progress, index) = (self.progress(), self.state().meta().index);
        let written = progress.wait_for(|p| p.index >= index).await;
        written.map(drop).map_err(|_| DriveError::Stopping)
    }

    /// The configuration as it was in a version; `None` = there is no such version.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn configuration(&self, number: u64) -> Result<Option<State>, DriveError> {
        let mut then = self.state().configuration();
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

    /// Looks at the state as it was at a former moment, of the chat with everybody who was weighed for its last
    /// decision, where the past reaches so far: then `look` is given the log index of that decision. Away from the
    /// threads that serve, one at a time.
    ///
    /// # Errors
    /// [`PastError::NotKept`] for a moment that this node does not keep. One that is yet to come counts as now.
    pub async fn then<T: Send + 'static>(
        &self,
        moment: Moment,
        chat: ChatId,
        look: impl FnOnce(&State, Option<u64>) -> T + Send + 'static,
    ) -> Result<T, PastError> {
        let group = self.group();
        let group = group.map_err(|e| PastError::Refused(e.to_string()))?;
        let newest = group.hash().0;
        group
            .past(move |past| {
                let mut then = state_at(past, moment, newest)?;
                let decided = then.chats().get(&chat).and_then(|chat| {
                    let mut events = chat.events.iter();
                    events.rfind(|e| !e.candidates.is_empty()).map(|e| e.index)
                });
                // Once more, to look on when it was decided; of what is too long ago the sample stays.
                let told = decided.filter(|index| {
                    let told = relive(past, index - 1, *index, |next, state| {
                        if next.index == *index {
                            state.ask_of(&chat);
                        }
                        true
                    });
                    match told.as_ref().ok().and_then(|(s, _)| s.chats().get(&chat)) {
                        Some(told) => {
                            then.recall(told, *index);
                            true
                        }
                        None => false,
                    }
                });
                Ok(look(&then, told))
            })
            .await
    }
}

/// The state at a moment; one that is yet to come counts as `newest`.
pub(crate) fn state_at(past: &Past, moment: Moment, newest: u64) -> Result<State, PastError> {
    match moment {
        Moment::Index(index) => {
            let index = index.min(newest);
            Ok(relive(past, index, index, |_, _| true)?.0)
        }
        Moment::At(at) => last_before(past, at, newest),
    }
}

/// The state right after an index, begun from one at or before `from`, and the index of that. Before each command
/// `before` looks on, and says whether to go on.
fn relive(
    past: &Past,
    from: u64,
    to: u64,
    before: impl Fn(&Stamped, &mut State) -> bool,
) -> Result<(State, u64), PastError> {
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
        let goes_on = before(&stamped, &mut state);
        if goes_on {
            state.apply(&stamped);
        }
        Ok(goes_on)
    };
    let begun = past.relive(from, to, restore, apply)?;
    Ok((state.into_inner(), begun))
}

/// The state before the first command that was stamped after a time. Where that is, is found by halving, so that a base
/// near it can be begun with; stamps may be out of order by a little, so it is then looked for from there.
fn last_before(past: &Past, at: Millis, newest: u64) -> Result<State, PastError> {
    let Some(oldest) = past.oldest()? else {
        return Err(PastError::NotKept(None));
    };
    let (mut low, mut high) = (oldest, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let earlier = match past.command(middle, newest)? {
            Some((index, bytes)) => {
                let read = command::decode(index, &bytes);
                read.map_err(|e| PastError::Refused(e.to_string()))?.0.at <= at
            }
            None => false,
        };
        if earlier {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut from = low.max(oldest);
    loop {
        let (then, begun) = relive(past, from, newest, |next, _| next.at <= at)?;
        if then.meta().now <= at {
            return Ok(then);
        }
        if begun <= oldest {
            return Err(PastError::NotKept(Some(oldest)));
        }
        from = begun - 1;
    }
}
