//! Invariants 4 and 6, and what else no command may change: told from what was seen before.

use std::collections::BTreeMap;

use crate::ids::{AgentId, ChatId, Epoch, Millis, NodeId, QueueId};
use crate::limits::CLOSED_KEPT_MS;
use crate::model::{Phase, Presence, Queue};
use crate::state::{AgentState, Chat, State};

/// What was seen of a state so far. Show it every state in turn.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    index: u64,
    now: Millis,
    chats: BTreeMap<ChatId, Known>,
    sessions: BTreeMap<AgentId, Session>,
    /// How long each queue let an offer stand.
    timeouts: BTreeMap<QueueId, Millis>,
}

/// The newest session of an agent.
#[derive(Clone, Copy, Debug)]
struct Session {
    epoch: Epoch,
    node: NodeId,
    live: bool,
}

#[derive(Clone, Debug)]
struct Known {
    arrived: Millis,
    assignment: u64,
    /// What it came to, once it is closed.
    closed: Option<Phase>,
    assist: Option<ChatId>,
    /// Who had it or was offered it.
    holders: Vec<AgentId>,
}

impl Seen {
    /// Checks that the next state keeps what no command may change: 1: that a chat comes to an agent by an offer; 4: when a chat arrived; 5: that an offer ends in time; 6: that sessions and offers
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
                if old.closed.is_some() || old.assist.is_some() || outlived {
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
            if let Phase::Offered { until, .. } = &new.phase
                && new.assignment > old.assignment
            {
                self.offer_ends(state, new, *until)?;
            }
            if let Some(closed) = &old.closed
                && *closed != new.phase
            {
                return Err(format!("9: chat '{id}' came back from {closed:?}"));
            }
        }
        self.owners(state)?;
        for (id, old) in &self.sessions {
            let new = state.agents.get(id);
            let epoch = new.map_or(meta.epoch_floor, |a| a.epoch);
            let another = new.is_some_and(|a| live(a) && (!old.live || old.node != a.node));
            if epoch < old.epoch || another && epoch == old.epoch {
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
                assist: chat.assist.as_ref().map(|(of, _)| of.clone()),
                holders: Vec::new(),
            });
            known.holders = chat.holders().to_vec();
            known.assignment = chat.assignment;
            if known.closed.is_none() && chat.is_closed() {
                known.closed = Some(chat.phase.clone());
            }
        }
        let session = |a: &AgentState| Session {
            epoch: a.epoch,
            node: a.node,
            live: live(a),
        };
        let agents = state.agents.iter();
        self.sessions = agents.map(|(id, a)| (id.clone(), session(a))).collect();
        let timeout = |q: &Queue| Millis::from(q.offer_timeout_ms);
        let queues = state.queues.iter();
        self.timeouts = queues.map(|(id, q)| (id.clone(), timeout(q))).collect();
        Ok(())
    }

    /// 5: a new offer stands no longer than its queue lets it, now or before: a command that sets the queue first
    /// fires what is due, and an offer made then was made by the rule of that moment.
    fn offer_ends(&self, state: &State, chat: &Chat, until: Millis) -> Result<(), String> {
        let now = state.queues.get(&chat.queue);
        let now = now.map(|q| Millis::from(q.offer_timeout_ms));
        let before = self.timeouts.get(&chat.queue).copied();
        let most = now.max(before).unwrap_or(Millis::MAX);
        if until - state.meta.now > most {
            return Err(format!(
                "5: the offer of chat '{}' stands longer than {most} ms",
                chat.id
            ));
        }
        Ok(())
    }

    /// 1: whoever has a chat had it, was offered it, or came to help with it; but for queues that accept by themselves,
    /// and for offers made by the very command that accepts them, as it first fires what is due: [`super::acts`] sees
    /// to it that those are accepted by their number.
    fn owners(&self, state: &State) -> Result<(), String> {
        for (id, chat) in &state.chats {
            let Phase::Active { agent } = &chat.phase else {
                continue;
            };
            let known = self.chats.get(id);
            let anew = known.is_some_and(|known| known.assignment < chat.assignment);
            let itself = known.map(|known| &known.holders);
            let helps = |known: &&Known| known.assist.as_ref() == Some(id);
            let help = self.chats.values().filter(helps).map(|k| &k.holders);
            let came = itself.into_iter().chain(help).any(|h| h.contains(agent));
            let queue = state.queues.get(&chat.queue);
            if !came && !anew && !queue.is_some_and(|q| q.auto_accept) {
                return Err(format!(
                    "1: agent '{agent}' has chat '{id}', which was never offered to them"
                ));
            }
        }
        Ok(())
    }
}

fn live(agent: &AgentState) -> bool {
    !matches!(agent.presence, Presence::Offline | Presence::Lost)
}
