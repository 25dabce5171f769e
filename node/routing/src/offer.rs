//! Offers: made, answered, withdrawn, run out.

use crate::effect::{Answer, Effect, Reject};
use crate::explain::{Event, What};
use crate::ids::*;
use crate::limits::*;
use crate::matching::Preference;
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::reason::Candidate;
use crate::state::{AgentState, Chat, Key, State};

impl State {
    /// Shows a waiting chat to agents, best first, and takes the units of each; the first to accept has it.
    pub(crate) fn offer(
        &mut self,
        chat: &ChatId,
        to: &[Preference],
        detail: &str,
        candidates: Vec<Candidate>,
    ) {
        let Some((best, c)) = to.first().zip(self.chats.get(chat)) else {
            return;
        };
        let queue = self.queues.get(&c.queue);
        let auto_accept = queue.is_some_and(|q| q.auto_accept);
        let share_of = queue.filter(|q| q.strategy == Strategy::Weighted);
        let share_of = share_of.map(|q| q.id.clone());
        let assignment = c.assignment + 1;
        let until = self.meta.now + self.offer_timeout(c);
        let mut agents: Vec<AgentId> = to.iter().map(|p| p.agent.clone()).collect();
        agents.sort();
        let mut detail = detail.to_owned();
        if agents.len() > 1 {
            let comma = if detail.is_empty() { "" } else { ", " };
            detail = format!("{detail}{comma}to {} agents at once", agents.len());
        }
        let event = Event {
            candidates,
            ..self.event(What::Offered, Some(&best.agent), &detail)
        };
        // Before the chat is theirs, which brings their rows in line with both.
        self.give_turns(&agents, share_of);
        self.edit_chat(chat, |c| {
            c.assignment = assignment;
            c.via = best.via.clone();
            c.phase = Phase::Offered {
                to: agents.clone(),
                until,
            };
            c.tell(event);
        });
        self.meta.totals.offers += agents.len() as u64;
        if auto_accept {
            self.accept(chat, &best.agent, "by the queue itself");
            return;
        }
        for agent in agents {
            self.work.effects.push(Effect::OfferMade {
                agent,
                chat: chat.clone(),
                assignment,
                until,
            });
        }
    }

    /// Counts an offer for each agent: the turn goes to the others, and where the queue shares chats out,
    /// the agent's share is used up by so much. Their rows are the caller's to refresh.
    fn give_turns(&mut self, agents: &[AgentId], share_of: Option<QueueId>) {
        let (index, weighted, mut at) = (self.meta.index, share_of.is_some(), 0);
        if let Some(queue) = share_of {
            let stats = self.stats.entry(queue.clone()).or_default();
            let passes = agents.iter().filter_map(|a| self.agents.get(a));
            let least = passes.map(|a| a.pass).min().unwrap_or(0);
            stats.pass = stats.pass.max(least);
            at = stats.pass;
            self.work.dirty.push(Key::Stats(queue));
        }
        for id in agents {
            let Some(agent) = self.agents.get_mut(id) else {
                continue;
            };
            agent.turn = index;
            agent.tally.offers += 1;
            if weighted {
                agent.pass = agent.pass.max(at) + STRIDE / u64::from(agent.config.share.max(1));
            }
            self.work.dirty.push(Key::Agent(id.clone()));
        }
    }

    fn offer_timeout(&self, chat: &Chat) -> Millis {
        let queue = self.queues.get(&chat.queue);
        if mutants::is(Mutant::OffersStand) {
            return Millis::from(DAY_MS);
        }
        Millis::from(queue.map_or(HOUR_MS, |q| q.offer_timeout_ms))
    }

    /// How long the chat is kept from an agent who refused it.
    pub(crate) fn kept_from(&self, chat: &Chat) -> Millis {
        let queue = self.queues.get(&chat.queue);
        Millis::from(queue.map_or(REFUSAL_MS, |q| q.refusal_ms))
    }

    /// An offer ran out while nobody led and the agents could not answer: it stands for its full time again.
    pub(crate) fn renew_offer(&mut self, chat: &ChatId) {
        let fresh = self.meta.now + self.offer_timeout(&self.chats[chat]);
        self.edit_chat(chat, |c| {
            if let Phase::Offered { until, .. } = &mut c.phase {
                *until = fresh;
            }
        });
    }

    /// Takes an offer back from every agent and puts the chat in line again at its place.
    pub(crate) fn withdraw_all(&mut self, chat: &ChatId, what: What, detail: &str, refused: bool) {
        for agent in self.chats[chat].holders().to_vec() {
            self.withdraw(chat, &agent, what, detail, refused);
        }
    }

    /// Takes an offer back from one agent; with the last of them the chat is in line again at its place. The agent
    /// is kept from it for a while when they had their say.
    pub(crate) fn withdraw(
        &mut self,
        chat: &ChatId,
        agent: &AgentId,
        what: What,
        detail: &str,
        refused: bool,
    ) {
        let c = &self.chats[chat];
        let Phase::Offered { to, until } = &c.phase else {
            return;
        };
        let assignment = c.assignment;
        let others: Vec<AgentId> = to.iter().filter(|a| *a != agent).cloned().collect();
        if others.len() == to.len() {
            return;
        }
        let phase = if others.is_empty() {
            Phase::Waiting
        } else {
            Phase::Offered {
                to: others,
                until: *until,
            }
        };
        let event = self.event(what, Some(agent), detail);
        let (now, kept) = (self.meta.now, self.kept_from(c));
        self.edit_chat(chat, |c| {
            c.phase = phase;
            c.refusals
                .retain(|(who, until)| *until > now && who != agent);
            if refused && kept > 0 {
                c.refusals.push((agent.clone(), now + kept));
                if c.refusals.len() > REFUSALS_MAX {
                    c.refusals.remove(0);
                }
            }
            c.tell(event);
        });
        self.work.effects.push(Effect::OfferWithdrawn {
            agent: agent.clone(),
            chat: chat.clone(),
            assignment,
        });
        // An assist asked of one agent by name is nothing for others.
        let c = &self.chats[chat];
        if c.phase == Phase::Waiting && c.assist.is_some() && c.owner.as_ref() == Some(agent) {
            self.part(chat, "the agent did not come");
        }
    }

    /// Takes an offer back from everybody without a word in the story of the chat, which is about to be taken out.
    pub(crate) fn withdraw_silently(&mut self, chat: &ChatId) {
        let c = &self.chats[chat];
        let Phase::Offered { to, .. } = &c.phase else {
            return;
        };
        for agent in to {
            self.work.effects.push(Effect::OfferWithdrawn {
                agent: agent.clone(),
                chat: chat.clone(),
                assignment: c.assignment,
            });
        }
    }

    /// An offer ran out, for everybody who had it.
    pub(crate) fn offer_timed_out(&mut self, chat: &ChatId) {
        let Phase::Offered { to, until } = self.chats[chat].phase.clone() else {
            return;
        };
        let made = until - self.offer_timeout(&self.chats[chat]);
        let queue = self.queues.get(&self.chats[chat].queue);
        let ignored_max = queue.map_or(IGNORED_MAX, |q| q.ignored_max);
        self.withdraw_all(chat, What::OfferTimedOut, "", true);
        for agent in to {
            self.ignored(&agent, made, ignored_max);
        }
    }

    /// An agent let an offer run out; who does so several times in a row does not respond.
    fn ignored(&mut self, agent: &AgentId, made: Millis, ignored_max: u32) {
        let now = self.meta.now;
        let mut gone = false;
        self.edit_agent(agent, |a: &mut AgentState| {
            a.idle_since = now;
            a.tally.ignored += 1;
            // Offers open side by side are one absence, not several.
            if a.ignored > 0 && made < a.ignored_at {
                return;
            }
            a.ignored += 1;
            a.ignored_at = now;
            if a.ignored >= ignored_max && a.presence == Presence::Available {
                a.presence = Presence::NotResponding;
                gone = true;
            }
        });
        if gone {
            self.withdraw_offers(agent, "the agent does not respond");
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
            Phase::Offered { to, .. } if to.contains(agent) && c.assignment == assignment => Ok(()),
            Phase::Offered { to, .. }
                if to.contains(agent) && mutants::is(Mutant::AcceptsOldOffers) =>
            {
                Ok(())
            }
            Phase::Offered { .. } | Phase::Active { .. }
                if mutants::is(Mutant::AcceptsWithoutOffer) =>
            {
                Ok(())
            }
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
        let others = self.chats[chat].holders().to_vec();
        for other in others.iter().filter(|a| *a != agent) {
            self.withdraw(
                chat,
                other,
                What::OfferWithdrawn,
                "another agent was first",
                false,
            );
        }
        let of = self.chats[chat].assist.clone().map(|(of, _)| of);
        self.accept(chat, agent, "");
        // An assist that took over is done with; the chat itself is theirs.
        let theirs = of.filter(|_| !self.chats.contains_key(chat));
        Ok(self.answer(theirs.as_ref().unwrap_or(chat)))
    }

    /// A chat on offer to one agent is theirs.
    fn accept(&mut self, chat: &ChatId, agent: &AgentId, detail: &str) {
        let event = self.event(What::Accepted, Some(agent), detail);
        let now = self.meta.now;
        if self.chats[chat].answered == 0 && self.chats[chat].assist.is_none() {
            self.count_answered(chat);
        }
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
            a.tally.accepted += 1;
        });
        self.assisted(chat, agent);
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
        let queue = self.queues.get(&self.chats[chat].queue);
        let reasons = queue.map_or(&[][..], |q| &q.decline_reasons);
        if !reasons.is_empty() && !reasons.iter().any(|r| r == reason) {
            return Err(Reject::Invalid {
                field: "reason".into(),
                problem: format!("'{reason}' is none of the queue's reasons"),
                fix: format!("give one of: {}", reasons.join("; ")),
            });
        }
        let of = self.chats[chat].assist.clone().map(|(of, _)| of);
        let bot = self.agents.get(agent).is_some_and(|a| a.config.bot);
        self.withdraw(chat, agent, What::Declined, reason, true);
        if bot && self.chats.contains_key(chat) {
            self.edit_chat(chat, |c| c.people_only = true);
        }
        let now = self.meta.now;
        self.edit_agent(agent, |a| {
            a.ignored = 0;
            a.idle_since = now;
            a.tally.declined += 1;
        });
        let gone = of.filter(|_| !self.chats.contains_key(chat));
        Ok(self.answer(gone.as_ref().unwrap_or(chat)))
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
