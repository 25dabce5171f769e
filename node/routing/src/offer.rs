//! Offers: made, answered, withdrawn, run out.

use crate::effect::{Answer, Effect, Reject};
use crate::explain::{Candidate, Event, What};
use crate::ids::*;
use crate::limits::*;
use crate::model::*;
use crate::state::State;

impl State {
    /// Shows a waiting chat to an agent and takes the units.
    pub(crate) fn offer(
        &mut self,
        chat: &ChatId,
        agent: &AgentId,
        detail: &str,
        candidates: Vec<Candidate>,
    ) {
        let until = self.meta.now + self.offer_timeout(chat);
        let mut assignment = 0;
        let event = Event {
            candidates,
            ..self.event(What::Offered, Some(agent), detail)
        };
        self.edit_chat(chat, |c| {
            c.assignment += 1;
            assignment = c.assignment;
            c.phase = Phase::Offered {
                agent: agent.clone(),
                until,
            };
            c.tell(event);
        });
        self.meta.totals.offers += 1;
        self.work.effects.push(Effect::OfferMade {
            agent: agent.clone(),
            chat: chat.clone(),
            assignment,
            until,
        });
    }

    fn offer_timeout(&self, chat: &ChatId) -> Millis {
        let queue = self.queues.get(&self.chats[chat].queue);
        Millis::from(queue.map_or(HOUR_MS, |q| q.offer_timeout_ms))
    }

    /// An offer ran out while nobody led and the agent could not answer: it stands for its full time again.
    pub(crate) fn renew_offer(&mut self, chat: &ChatId) {
        let fresh = self.meta.now + self.offer_timeout(chat);
        self.edit_chat(chat, |c| {
            if let Phase::Offered { until, .. } = &mut c.phase {
                *until = fresh;
            }
        });
    }

    /// Takes an offer back and puts the chat in line again at its place. The agent is kept from it for
    /// [`REFUSAL_MS`] when they had their say.
    pub(crate) fn withdraw(&mut self, chat: &ChatId, what: What, detail: &str, refused: bool) {
        let Phase::Offered { agent, .. } = self.chats[chat].phase.clone() else {
            return;
        };
        let assignment = self.chats[chat].assignment;
        let event = self.event(what, Some(&agent), detail);
        let now = self.meta.now;
        self.edit_chat(chat, |c| {
            c.phase = Phase::Waiting;
            c.refusals
                .retain(|(who, until)| *until > now && *who != agent);
            if refused {
                c.refusals.push((agent.clone(), now + REFUSAL_MS));
                if c.refusals.len() > REFUSALS_MAX {
                    c.refusals.remove(0);
                }
            }
            c.tell(event);
        });
        self.work.effects.push(Effect::OfferWithdrawn {
            agent,
            chat: chat.clone(),
            assignment,
        });
    }

    /// An offer ran out.
    pub(crate) fn offer_timed_out(&mut self, chat: &ChatId) {
        let Phase::Offered { agent, until } = self.chats[chat].phase.clone() else {
            return;
        };
        let (now, made) = (self.meta.now, until - self.offer_timeout(chat));
        self.withdraw(chat, What::OfferTimedOut, "", true);
        let mut gone = false;
        self.edit_agent(&agent, |a| {
            a.idle_since = now;
            // Offers open side by side are one absence, not several.
            if a.ignored > 0 && made < a.ignored_at {
                return;
            }
            a.ignored += 1;
            a.ignored_at = now;
            if a.ignored >= IGNORED_MAX && a.presence == Presence::Available {
                a.presence = Presence::NotResponding;
                gone = true;
            }
        });
        if gone {
            self.withdraw_offers(&agent, "the agent does not respond");
        }
    }

    /// Checks that the agent's current offer of the chat is the one meant.
    fn offered(
        &self,
        agent: &AgentId,
        epoch: Epoch,
        chat: &ChatId,
        assignment: u64,
    ) -> Result<(), Reject> {
        self.session(agent, epoch)?;
        let c = self.chat(chat)?;
        match &c.phase {
            Phase::Offered { agent: to, .. } if to == agent && c.assignment == assignment => Ok(()),
            _ => Err(Reject::Conflict(format!(
                "offer {assignment} of chat '{chat}' is no longer open to agent '{agent}'; wait for the next offer"
            ))),
        }
    }

    pub(crate) fn accept_offer(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        chat: &ChatId,
        assignment: u64,
    ) -> Result<Answer, Reject> {
        self.offered(agent, epoch, chat, assignment)?;
        let event = self.event(What::Accepted, Some(agent), "");
        let now = self.meta.now;
        self.edit_chat(chat, |c| {
            c.phase = Phase::Active {
                agent: agent.clone(),
            };
            c.answered_by = Some(agent.clone());
            if c.answered == 0 {
                c.answered = now;
            }
            c.refusals.clear();
            c.tell(event);
        });
        self.edit_agent(agent, |a| {
            a.ignored = 0;
            a.idle_since = now;
        });
        Ok(self.answer(chat))
    }

    pub(crate) fn decline_offer(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        chat: &ChatId,
        assignment: u64,
        reason: &str,
    ) -> Result<Answer, Reject> {
        self.offered(agent, epoch, chat, assignment)?;
        self.withdraw(chat, What::Declined, reason, true);
        let now = self.meta.now;
        self.edit_agent(agent, |a| {
            a.ignored = 0;
            a.idle_since = now;
        });
        Ok(self.answer(chat))
    }
}

/// Refuses a text that is too short or too long.
pub(crate) fn bytes(field: &str, text: &str, min: usize, max: usize) -> Result<(), Reject> {
    if (min..=max).contains(&text.len()) {
        return Ok(());
    }
    Err(Reject::Invalid {
        field: field.to_owned(),
        problem: format!("has {} bytes", text.len()),
        fix: format!("give {min} to {max}"),
    })
}

/// Refuses a number out of bounds.
pub(crate) fn bounds(field: &str, value: u64, min: u64, max: u64) -> Result<(), Reject> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Reject::Invalid {
        field: field.to_owned(),
        problem: format!("{value} is out of bounds"),
        fix: format!("give {min} to {max}"),
    })
}
