//! One ordered command in; an answer, effects and the parts to write out.

use crate::assist::Ask;
use crate::command::{Command, Stamped};
use crate::effect::{Answer, Effect, Reject};
use crate::ids::AgentId;
use crate::index::Deadline;
use crate::limits::*;
use crate::mutants::{self, Mutant};
use crate::offer::bytes;
use crate::rules;
use crate::state::{Chat, Key, Request, State};
use crate::version::Version;

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
    /// For the history too: the version of the configuration that the command made, where it did.
    pub version: Option<Version>,
}

impl State {
    /// Carries out one command. Deadlines due at its time fire first, in order, as of that time: after an
    /// outage everybody has the full time from now on, not from the past.
    pub fn apply(&mut self, stamped: &Stamped) -> Outcome {
        self.meta.now = self.meta.now.max(stamped.at.min(TIME_MAX));
        if mutants::is(Mutant::TimeRunsBack) {
            self.meta.now = stamped.at;
        }
        self.meta.index = stamped.index;
        self.work.dirty.push(Key::Meta);
        self.fire_due();
        let result = match self.answered(stamped) {
            Some(first) => first,
            None => {
                let result = self.carry_out(stamped);
                self.settle();
                if let Ok(answer) = &result {
                    self.remember(stamped, answer);
                }
                result
            }
        };
        self.outcome(result)
    }

    fn carry_out(&mut self, stamped: &Stamped) -> Result<Answer, Reject> {
        bytes("request_id", &stamped.request_id, 0, REQUEST_ID_BYTES_MAX)?;
        bytes("actor", &stamped.actor, 0, ACTOR_BYTES_MAX)?;
        stamped.command.check()?;
        rules::in_force(stamped.command.rules(), self.meta.rules)?;
        match &stamped.command {
            Command::Configure(changes) => self.configure(changes, &stamped.actor),
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
                overtime,
            } => self.set_presence(agent, *epoch, *presence, *overtime),
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
                take_back,
            } => self.transfer_chat(agent, *epoch, chat, to, note, *take_back),
            Command::AskFor {
                agent,
                epoch,
                chat,
                purpose,
                to,
                patience_ms,
                note,
            } => {
                let ask = Ask {
                    chat,
                    purpose: *purpose,
                    to,
                    patience_ms: *patience_ms,
                    note,
                };
                self.ask_for(agent, *epoch, &ask)
            }
            Command::VisitorSeen { chat, node } => self.visitor_seen(chat, *node),
            Command::VisitorGone { chat, node } => self.visitor_gone(chat, *node),
            Command::LeaveMessage {
                chat,
                text,
                contact,
                at,
            } => self.leave_message(chat, text, contact, *at),
            Command::Escalate {
                agent,
                epoch,
                chat,
                track,
            } => self.escalate(agent, *epoch, chat, track),
            Command::CloseTracked { chat, outcome } => {
                self.close_tracked(chat, outcome, &stamped.actor)
            }
            Command::Shut { what, until, why } => self.shut(what, *until, why, &stamped.actor),
            Command::Supervise { chat, how } => self.supervise(chat, &stamped.actor, *how),
            Command::MoveChat { chat, to, note } => self.move_chat(chat, to, note, &stamped.actor),
            Command::Tick => Ok(Answer::Done),
            Command::Adopt { rules } => self.adopt(*rules),
            Command::PinLeader { region } => self.pin_leader(region.as_ref(), &stamped.actor),
        }
    }

    /// Fires every deadline at or before now, then matches. Each fired deadline removes itself, and what it
    /// sets is later than now or a stage further on, so this ends.
    fn fire_due(&mut self) {
        while let Some((at, deadline)) = self.index.deadlines.first().cloned() {
            if at > self.meta.now {
                break;
            }
            // Whoever could not act because nobody led gets the full time again.
            let overdue = self.meta.now - at > OVERDUE_MS;
            match &deadline {
                Deadline::Shift(schedule) => {
                    self.reschedule(schedule, Some(at));
                    self.relieve(schedule, at);
                }
                Deadline::Grace(agent) if overdue => self.renew_grace(agent),
                Deadline::Grace(agent) => {
                    self.sign_off(agent, "the agent's session did not come back in time")
                }
                Deadline::Offer(chat) if overdue => self.renew_offer(chat),
                Deadline::Offer(chat) => self.offer_timed_out(chat),
                Deadline::WrapUp(chat) => self.wrapped_up(chat),
                Deadline::Due(chat) => self.return_to_line(chat),
                Deadline::Stage(chat) | Deadline::Refusal(chat) => {
                    // One who waits is held by nobody, so no agent's load changes.
                    self.unindex_chat(chat);
                    self.index_chat(chat);
                }
                Deadline::WaitMax(chat) => self.waited_enough(chat),
                Deadline::Forget(chat) => self.forget(chat),
                Deadline::Visitor(visitor) => self.remember_agent(visitor.clone(), None),
                Deadline::Lease(chat) if overdue => self.page_lost(chat),
                Deadline::Lease(chat) => self.lease_ended(chat),
                Deadline::Tracked(chat) => self.overdue(chat),
                Deadline::Reopen(what) => self.reopen(what),
                Deadline::Break(agent) => self.remind(agent),
                Deadline::Ramp(agent) => self.ramp_up(agent),
                Deadline::Slide(queue) => self.slide(queue),
            }
            debug_assert!(
                !self.index.deadlines.contains(&(at, deadline)),
                "a deadline must remove itself"
            );
        }
        self.settle();
    }

    /// The first answer to a request seen before, or a refusal when its id stood for another.
    fn answered(&self, stamped: &Stamped) -> Option<Result<Answer, Reject>> {
        if stamped.request_id.is_empty() || mutants::is(Mutant::RequestsRepeat) {
            return None;
        }
        let request = self.request(&stamped.actor, &stamped.request_id)?;
        let subject = stamped.command.subject();
        if request.subject != subject {
            return Some(Err(Reject::Conflict(format!(
                "request id '{}' was used to {}; give each request an id of its own",
                request.id, request.subject
            ))));
        }
        // A session that is over cannot be handed out again; whoever asks wants one that works.
        if let (Command::OpenSession { agent, node, .. }, Answer::Session { epoch }) =
            (&stamped.command, &request.answer)
            && (self.session(agent, *epoch).is_err() || self.agents[agent].node != *node)
        {
            return None;
        }
        Some(Ok(request.answer.clone()))
    }

    fn remember(&mut self, stamped: &Stamped, answer: &Answer) {
        if stamped.request_id.is_empty() {
            return;
        }
        let number = self.meta.request_next;
        self.meta.request_next += 1;
        let key = (stamped.actor.clone(), stamped.request_id.clone());
        if let Some(replaced) = self.index.requests.insert(key, number) {
            self.requests.remove(&replaced);
            self.work.dirty.push(Key::Request(replaced));
        }
        let request = Request {
            actor: stamped.actor.clone(),
            id: stamped.request_id.clone(),
            subject: stamped.command.subject(),
            at: self.meta.now,
            index: stamped.index,
            answer: answer.clone(),
        };
        self.requests.insert(number, request);
        if !mutants::is(Mutant::AnswersForgotten) {
            self.work.dirty.push(Key::Request(number));
        }
        // Two for one, so that no single command pays for many.
        for _ in 0..2 {
            let kept = |r: &Request| r.at + REQUEST_KEPT_MS >= self.meta.now;
            let oldest = self.requests.first_key_value();
            if self.requests.len() <= REQUESTS_MAX && oldest.is_none_or(|(_, r)| kept(r)) {
                break;
            }
            if let Some((oldest, request)) = self.requests.pop_first() {
                self.index.requests.remove(&(request.actor, request.id));
                self.work.dirty.push(Key::Request(oldest));
            }
        }
    }

    /// Load above what the agent may carry: of ordinary chats above capacity, of all above capacity and extra units.
    pub(crate) fn excess(&self, id: &AgentId) -> u32 {
        let Some(agent) = self.agents.get(id) else {
            return 0;
        };
        let capacity = agent.config.capacity_at(self.meta.now);
        let ordinary = self.held(id).filter(|c| !c.interrupting);
        let ordinary: u32 = ordinary.map(|c| c.weight).sum();
        let above = self.load(id).saturating_sub(capacity + agent.config.extra);
        above.max(ordinary.saturating_sub(capacity))
    }

    /// What a lowered capacity left over shrinks with the load, for good.
    fn forget_excess(&mut self) {
        for id in &self.work.touched {
            // Mostly there is none.
            if self.agents.get(id).is_none_or(|a| a.excess == 0) {
                continue;
            }
            let excess = self.excess(id);
            if let Some(agent) = self.agents.get_mut(id) {
                let excess = agent.excess.min(excess);
                if agent.excess != excess {
                    agent.excess = excess;
                    self.work.dirty.push(Key::Agent(id.clone()));
                }
            }
        }
    }

    fn outcome(&mut self, result: Result<Answer, Reject>) -> Outcome {
        self.work.touched.sort_unstable();
        self.work.touched.dedup();
        self.forget_excess();
        let mut work = std::mem::take(&mut self.work);
        work.dirty.sort_unstable();
        work.dirty.dedup();
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
            dirty: work.dirty,
            history: work.history.into_values().collect(),
            version: work.version,
        }
    }
}
