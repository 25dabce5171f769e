//! One ordered command in; an answer, effects and the parts to write out.

use crate::command::{Command, Stamped};
use crate::effect::{Answer, Effect, Reject};
use crate::ids::*;
use crate::index::Deadline;
use crate::limits::*;
use crate::offer::bytes;
use crate::state::{Chat, Key, Request, State};

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer, or why it was refused.
    pub result: Result<Answer, Reject>,
    /// What happened, in order, deadlines that fell due included.
    pub effects: Vec<Effect>,
    /// The parts to write or, where [`State::entity`] has none, to delete.
    pub dirty: Vec<Key>,
    /// Chats for the history: closed ones, and closed ones rated.
    pub history: Vec<Chat>,
}

impl State {
    /// Carries out one command. Deadlines due at its time fire first, in order, as of that time: after an
    /// outage everybody has the full time from now on, not from the past.
    pub fn apply(&mut self, stamped: &Stamped) -> Outcome {
        self.meta.now = self.meta.now.max(stamped.at);
        self.meta.index = stamped.index;
        self.work.dirty.insert(Key::Meta);
        self.fire_due();
        let result = match self.answered(stamped) {
            Some(first) => first,
            None => {
                let result = self.carry_out(stamped);
                self.settle();
                self.remember(stamped, &result);
                result
            }
        };
        self.outcome(result)
    }

    fn carry_out(&mut self, stamped: &Stamped) -> Result<Answer, Reject> {
        bytes("request_id", &stamped.request_id, 0, REQUEST_ID_BYTES_MAX)?;
        bytes("actor", &stamped.actor, 0, NAME_BYTES_MAX)?;
        match &stamped.command {
            Command::Configure(changes) => self.configure(changes),
            Command::StartChat(new) => self.start_chat(new),
            Command::LeaveChat { chat } => self.leave_chat(chat),
            Command::RateChat {
                chat,
                stars,
                comment,
            } => self.rate_chat(chat, *stars, comment),
            Command::OpenSession {
                agent,
                node,
                resume,
                grace_ms,
            } => self.open_session(agent, *node, *resume, *grace_ms),
            Command::LoseSession { agent, epoch } => self.lose_session(agent, *epoch),
            Command::CloseSession { agent, epoch } => self.close_session(agent, *epoch),
            Command::NodeLost { node } => self.node_lost(*node),
            Command::SetPresence {
                agent,
                epoch,
                presence,
            } => self.set_presence(agent, *epoch, *presence),
            Command::AcceptOffer {
                agent,
                epoch,
                chat,
                assignment,
            } => self.accept_offer(agent, *epoch, chat, *assignment),
            Command::DeclineOffer {
                agent,
                epoch,
                chat,
                assignment,
                reason,
            } => self.decline_offer(agent, *epoch, chat, *assignment, reason),
            Command::EndChat { agent, epoch, chat } => self.end_chat(agent, *epoch, chat),
            Command::FinishWrapUp { agent, epoch, chat } => {
                self.finish_wrap_up(agent, *epoch, chat)
            }
            Command::TransferChat {
                agent,
                epoch,
                chat,
                to,
                note,
            } => self.transfer_chat(agent, *epoch, chat, to, note),
            Command::Tick => Ok(Answer::Done),
        }
    }

    /// Fires every deadline at or before now, then matches. Each fired deadline removes itself, and what it
    /// sets is later than now or a stage further on, so this ends.
    fn fire_due(&mut self) {
        while let Some((at, deadline)) = self.index.deadlines.first().cloned() {
            if at > self.meta.now {
                break;
            }
            match &deadline {
                Deadline::Shift(schedule) => self.turn_shift(schedule),
                Deadline::Grace(agent) => {
                    self.sign_off(agent, "the agent's session did not come back in time")
                }
                Deadline::Offer(chat) => self.offer_timed_out(chat),
                Deadline::WrapUp(chat) => self.wrapped_up(chat),
                Deadline::Due(chat) => self.return_to_line(chat),
                Deadline::Stage(chat) | Deadline::Refusal(chat) => {
                    self.unindex_chat(chat);
                    self.index_chat(chat);
                }
                Deadline::WaitMax(chat) => self.defer(chat, "waited as long as the queue lets it"),
                Deadline::Forget(chat) => self.forget(chat),
                Deadline::Visitor(visitor) => self.remember_agent(visitor.clone(), None),
            }
            debug_assert!(
                !self.index.deadlines.contains(&(at, deadline)),
                "a deadline must remove itself"
            );
        }
        self.settle();
    }

    /// A schedule begins or ends: its agents become ready, or no more.
    fn turn_shift(&mut self, id: &ScheduleId) {
        let now = self.meta.now;
        let due: Vec<_> = self
            .index
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .filter(|(_, d)| *d == Deadline::Shift(id.clone()))
            .cloned()
            .collect();
        for edge in due {
            self.index.deadlines.remove(&edge);
        }
        if let Some(edge) = self.schedules.get(id).and_then(|s| s.next_edge(now)) {
            self.index
                .deadlines
                .insert((edge, Deadline::Shift(id.clone())));
        }
        for agent in self.index.by_schedule.get(id).cloned().unwrap_or_default() {
            self.refresh_agent(&agent);
            self.work.touched.insert(agent);
        }
    }

    /// The first answer to a request seen before.
    fn answered(&self, stamped: &Stamped) -> Option<Result<Answer, Reject>> {
        if stamped.request_id.is_empty() {
            return None;
        }
        let number = self
            .index
            .requests
            .get(&(stamped.actor.clone(), stamped.request_id.clone()))?;
        self.requests.get(number).map(|r| r.result.clone())
    }

    fn remember(&mut self, stamped: &Stamped, result: &Result<Answer, Reject>) {
        let known = stamped.request_id.len() <= REQUEST_ID_BYTES_MAX
            && stamped.actor.len() <= NAME_BYTES_MAX;
        if stamped.request_id.is_empty() || !known {
            return;
        }
        let number = self.meta.request_next;
        self.meta.request_next += 1;
        self.index
            .requests
            .insert((stamped.actor.clone(), stamped.request_id.clone()), number);
        let request = Request {
            actor: stamped.actor.clone(),
            id: stamped.request_id.clone(),
            result: result.clone(),
        };
        self.requests.insert(number, request);
        self.work.dirty.insert(Key::Request(number));
        while self.requests.len() > REQUEST_WINDOW {
            if let Some((oldest, request)) = self.requests.pop_first() {
                self.index.requests.remove(&(request.actor, request.id));
                self.work.dirty.insert(Key::Request(oldest));
            }
        }
    }

    fn outcome(&mut self, result: Result<Answer, Reject>) -> Outcome {
        // Lines of kinds no longer waiting are let go once they are many.
        if self.index.lines.len() > LINES_MAX + 2 * self.chats.len() {
            self.reindex();
            self.work.chats.clear();
            self.work.agents.clear();
        }
        let work = std::mem::take(&mut self.work);
        let mut effects = work.effects;
        for key in &work.dirty {
            if let Key::Chat(chat) = key {
                effects.push(Effect::ChatChanged { chat: chat.clone() });
            }
        }
        effects.extend(
            work.touched
                .into_iter()
                .map(|agent| Effect::AgentChanged { agent }),
        );
        if work.configured {
            effects.push(Effect::ConfigChanged);
        }
        Outcome {
            result,
            effects,
            dirty: work.dirty.into_iter().collect(),
            history: work.history.into_values().collect(),
        }
    }
}
