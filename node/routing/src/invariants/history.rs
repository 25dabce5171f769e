//! Invariants 4 and 6, and what else no command may change: told from what was seen before.

use std::collections::BTreeMap;

use crate::ids::{AgentId, ChatId, Epoch, Millis};
use crate::limits::CLOSED_KEPT_MS;
use crate::model::Phase;
use crate::state::State;

/// What was seen of a state so far. Show it every state in turn.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    index: u64,
    now: Millis,
    chats: BTreeMap<ChatId, Known>,
    epochs: BTreeMap<AgentId, Epoch>,
}

#[derive(Clone, Debug)]
struct Known {
    arrived: Millis,
    assignment: u64,
    /// What it came to, once it is closed.
    closed: Option<Phase>,
    assist: bool,
}

impl Seen {
    /// Checks that the next state keeps what no command may change: 4: when a chat arrived; 6: that sessions and offers
    /// are numbered upwards; 9: that a closed chat stays closed as it is, and an open one is not forgotten.
    ///
    /// # Errors
    /// The number and story of the first broken one.
    pub fn then(&mut self, state: &State) -> Result<(), String> {
        let meta = &state.meta;
        if meta.index < self.index || meta.now < self.now {
            return Err(format!(
                "3: log index {} at {} came after {} at {}",
                meta.index, meta.now, self.index, self.now
            ));
        }
        // As far as it could be forgotten since.
        let outlived = meta.now - self.now >= CLOSED_KEPT_MS;
        for (id, old) in &self.chats {
            let Some(new) = state.chats.get(id) else {
                if old.closed.is_some() || old.assist || outlived {
                    continue;
                }
                return Err(format!("9: chat '{id}' is gone and was not closed"));
            };
            if old.arrived != new.arrived {
                return Err(format!("4: chat '{id}' lost its arrival time"));
            }
            if old.assignment > new.assignment {
                return Err(format!("6: the offers of chat '{id}' are numbered anew"));
            }
            if let Some(closed) = &old.closed
                && *closed != new.phase
            {
                return Err(format!("9: chat '{id}' came back from {closed:?}"));
            }
        }
        for (id, old) in &self.epochs {
            let epoch = state.agents.get(id).map_or(meta.epoch_floor, |a| a.epoch);
            if epoch < *old {
                return Err(format!("6: the sessions of agent '{id}' are numbered anew"));
            }
        }
        (self.index, self.now) = (meta.index, meta.now);
        self.chats.retain(|id, _| state.chats.contains_key(id));
        for (id, chat) in &state.chats {
            let known = self.chats.entry(id.clone()).or_insert_with(|| Known {
                arrived: chat.arrived,
                assignment: 0,
                closed: None,
                assist: chat.assist.is_some(),
            });
            known.assignment = chat.assignment;
            if known.closed.is_none() && chat.is_closed() {
                known.closed = Some(chat.phase.clone());
            }
        }
        let epochs = state.agents.iter().map(|(id, a)| (id.clone(), a.epoch));
        self.epochs = epochs.collect();
        Ok(())
    }
}
