//! A chat's life but for its offers: start, leave, defer, return, end, wrap-up, transfer, rating.

use crate::command::NewChat;
use crate::effect::{Answer, Reject};
use crate::explain::What;
use crate::ids::*;
use crate::index::{Deadline, move_deadline};
use crate::limits::*;
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::state::{Chat, Key, LastAgent, State};

impl State {
    pub(crate) fn chat(&self, id: &ChatId) -> Result<&Chat, Reject> {
        self.chats
            .get(id)
            .ok_or_else(|| unknown("chat_id", "chat", id.as_str()))
    }

    pub(crate) fn answer(&self, id: &ChatId) -> Answer {
        Answer::Chat {
            chat: id.clone(),
            phase: self.chats[id].phase.clone(),
        }
    }

    /// What a new chat would be, and the queue it would wait in: its own, or an open one it overflows into; `None`
    /// where all of them are closed.
    pub(crate) fn admit(&self, new: &NewChat) -> Result<(Chat, Option<QueueId>), Reject> {
        let queue = self
            .queues
            .get(&new.queue)
            .ok_or_else(|| unknown("queue_id", "queue", new.queue.as_str()))?;
        if let Some(region) = &new.region {
            self.regions
                .get(region)
                .ok_or_else(|| unknown("region_id", "region", region.as_str()))?;
        }
        if let Some(owner) = &new.owner {
            self.agents
                .get(owner)
                .ok_or_else(|| unknown("owner_agent_id", "agent", owner.as_str()))?;
        }
        let channel = match new.channel.as_str() {
            "" => CHANNEL_USUAL,
            given => given,
        };
        let (weight, interrupting) = self.load_of(channel, &new.kind, new.weight);
        self.check_weight(queue, weight, interrupting)?;
        let mut skills = new.skills.clone();
        skills.sort_by(|a, b| a.skill.cmp(&b.skill));
        let now = self.meta.now;
        let mut languages: Vec<WantedLanguage> = Vec::new();
        for wanted in &new.languages {
            if !languages.iter().any(|l| l.language == wanted.language) {
                languages.push(wanted.clone());
            }
        }
        let chat = Chat {
            id: new.chat.clone(),
            queue: new.queue.clone(),
            phase: Phase::Waiting,
            languages,
            region: new.region.clone(),
            visitor: new.visitor.clone(),
            skills,
            priority: new.priority,
            vip: new.vip,
            channel: channel.to_owned(),
            kind: new.kind.clone(),
            weight,
            interrupting,
            owner: new.owner.clone(),
            last: self.last_agent(queue, &new.visitor),
            toward: None,
            people_only: false,
            assist: None,
            patience_ms: 0,
            asked: 0,
            lease_ms: new.lease_ms,
            page: match new.lease_ms {
                0 => Page::Unknown,
                lease => Page::Gone(now + Millis::from(lease)),
            },
            message: String::new(),
            contact: String::new(),
            call_back: 0,
            watchers: Vec::new(),
            via: QueueId::default(),
            estimate_ms: None,
            topic: new.topic.clone(),
            note: String::new(),
            arrived: now,
            since: now,
            assignment: 0,
            deferrals: 0,
            refusals: Vec::new(),
            answered: 0,
            answered_by: None,
            closed: 0,
            stars: 0,
            comment: String::new(),
            events: Vec::new(),
            index: self.meta.index,
        };
        Ok((chat, self.open_queue(queue).map(|q| q.id.clone())))
    }

    pub(crate) fn start_chat(&mut self, new: &NewChat) -> Result<Answer, Reject> {
        if self.chats.contains_key(&new.chat) {
            return Err(Reject::Conflict(format!(
                "chat '{}' exists already; choose another id",
                new.chat
            )));
        }
        let (mut chat, place) = self.admit(new)?;
        if let Some(queue) = self.queues.get(place.as_ref().unwrap_or(&new.queue)) {
            self.check_full(queue)?;
        }
        let mut meanings = false;
        for resolved in &new.resolved {
            meanings |= self.learn(resolved);
        }
        if meanings {
            self.reline();
        }
        chat.tell(self.event(What::Arrived, None, ""));
        self.meta.totals.accepted += 1;
        self.count_accepted(place.as_ref().unwrap_or(&new.queue));
        self.chats.insert(new.chat.clone(), chat);
        self.line_up(&new.chat, place);
        // The answer tells where the chat stands once it is matched, so the visitor is not told to wait in vain.
        self.settle();
        let chat = &self.chats[&new.chat];
        if let Some(place) = self.position(chat) {
            let wait = self.expected_wait(&chat.queue, place);
            self.edit_chat(&new.chat, |c| c.estimate_ms = wait.map(|w| w.mean));
        }
        Ok(self.answer(&new.chat))
    }

    pub(crate) fn leave_chat(&mut self, id: &ChatId) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        self.leave(id, "the visitor left")
    }

    /// The visitor goes, in their own words or by what is known of them.
    pub(crate) fn leave(&mut self, id: &ChatId, how: &str) -> Result<Answer, Reject> {
        match self.chat(id)?.phase.clone() {
            Phase::Closed(_) | Phase::WrapUp { .. } => {}
            Phase::Active { agent } => self.end(id, &agent, how),
            Phase::Offered { .. }
            | Phase::Waiting
            | Phase::Deferred { .. }
            | Phase::Tracked { .. } => {
                self.withdraw_all(id, What::OfferWithdrawn, how, false);
                // Once an agent has answered, leaving is an end, not an abandon.
                if self.chats[id].answered > 0 {
                    let event = self.unserved(id, What::Ended, how);
                    self.edit_chat(id, |c| c.tell(event));
                    self.meta.totals.answered += 1;
                    self.close(id, Closed::Answered);
                } else {
                    let event = self.unserved(id, What::Abandoned, "");
                    self.edit_chat(id, |c| c.tell(event));
                    self.meta.totals.abandoned += 1;
                    let queue = self.chats[id].queue.clone();
                    self.count_abandoned(&queue);
                    self.close(id, Closed::Abandoned);
                }
            }
        }
        Ok(self.answer(id))
    }

    /// The talk is over: wrap-up begins, or the chat closes at once where the queue has none.
    fn end(&mut self, id: &ChatId, agent: &AgentId, detail: &str) {
        self.part_all(id, "the chat ended");
        let queue = self.queues.get(&self.chats[id].queue);
        let (wrap_up, sticky) = queue.map_or((0, 0), |q| (q.wrap_up_ms, q.sticky_ms));
        let until = self.meta.now + Millis::from(wrap_up);
        let event = self.event(What::Ended, Some(agent), detail);
        let visitor = self.chats[id].visitor.clone();
        self.edit_chat(id, |c| {
            c.phase = Phase::WrapUp {
                agent: agent.clone(),
                until,
            };
            c.tell(event);
        });
        if sticky > 0 && !visitor.is_empty() {
            let last = LastAgent {
                agent: agent.clone(),
                until: self.meta.now + Millis::from(sticky),
            };
            self.remember_agent(visitor, Some(last));
        }
        if wrap_up == 0 {
            self.wrapped_up(id);
        }
    }

    pub(crate) fn remember_agent(&mut self, visitor: String, last: Option<LastAgent>) {
        let after = last.as_ref().map(|l| l.until);
        let old = match last {
            Some(last) => self.visitors.insert(visitor.clone(), last),
            None => self.visitors.remove(&visitor),
        };
        let (due, before) = (&mut self.index.deadlines, old.map(|l| l.until));
        move_deadline(due, before, after, || Deadline::Visitor(visitor.clone()));
        self.work.dirty.push(Key::Visitor(visitor));
    }

    /// Wrap-up is finished, by the agent or by time.
    pub(crate) fn wrapped_up(&mut self, id: &ChatId) {
        let agent = self.chats[id].holders().first().cloned();
        let (queue, took) = {
            let chat = &self.chats[id];
            (chat.queue.clone(), self.meta.now - chat.answered)
        };
        self.count_handled(&queue, took);
        let event = self.event(What::WrappedUp, agent.as_ref(), "");
        self.edit_chat(id, |c| c.tell(event));
        if !mutants::is(Mutant::Uncounted) {
            self.meta.totals.answered += 1;
        }
        self.close(id, Closed::Answered);
        let now = self.meta.now;
        if let Some(agent) = agent {
            self.edit_agent(&agent, |a| {
                a.idle_since = now;
                a.tally.handled += 1;
                a.tally.handle_ms += took.unsigned_abs();
            });
        }
    }

    /// What a chat takes: as asked for, or by channel and kind; the most exact load counts.
    fn load_of(&self, channel: &str, kind: &str, asked: u32) -> (u32, bool) {
        let of_channel = self.workspace.loads.iter().filter(|l| l.channel == channel);
        let fits = of_channel.filter(|l| l.kind.is_empty() || l.kind == kind);
        let load = fits.max_by_key(|l| !l.kind.is_empty());
        let (weight, interrupting) = load.map_or((1, false), |l| (l.weight, l.interrupting));
        (if asked > 0 { asked } else { weight }, interrupting)
    }

    /// Who spoke with a visitor last, where the queue cares and it is not too long ago.
    fn last_agent(&self, queue: &Queue, visitor: &str) -> Option<AgentId> {
        let last = self.visitors.get(visitor)?;
        let counts = queue.sticky_ms > 0 && last.until > self.meta.now;
        counts.then(|| last.agent.clone())
    }

    /// An agent let go of a chat and is idle from here on.
    pub(crate) fn let_go(&mut self, agent: Option<&AgentId>) {
        let now = self.meta.now;
        if let Some(agent) = agent {
            self.edit_agent(agent, |a| a.idle_since = now);
        }
    }

    pub(crate) fn close(&mut self, id: &ChatId, how: Closed) {
        let now = self.meta.now;
        self.edit_chat(id, |c| {
            c.phase = Phase::Closed(how);
            c.closed = now;
            c.refusals.clear();
            c.watchers.clear();
        });
        self.work.history.insert(id.clone(), self.chats[id].clone());
    }

    /// A closed chat leaves the state; history keeps it.
    pub(crate) fn forget(&mut self, id: &ChatId) {
        self.unindex_chat(id);
        self.chats.remove(id);
        self.work.dirty.push(Key::Chat(id.clone()));
    }

    /// Checks that the agent's current session owns the chat.
    fn owned(
        &self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
        phase: impl Fn(&Phase) -> bool,
        wanted: &str,
    ) -> Result<(), Reject> {
        self.session(agent, epoch)?;
        let chat = self.chat(id)?;
        if chat.holders().contains(agent) && phase(&chat.phase) {
            return Ok(());
        }
        Err(Reject::Conflict(format!(
            "chat '{id}' is not {wanted} with agent '{agent}'; look at the chat again"
        )))
    }

    /// Checks that the agent's current session is talking to the chat's visitor.
    pub(crate) fn active_with(
        &self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
    ) -> Result<(), Reject> {
        let active = |p: &Phase| matches!(p, Phase::Active { .. });
        self.owned(agent, epoch, id, active, "active")
    }

    pub(crate) fn end_chat(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
    ) -> Result<Answer, Reject> {
        self.active_with(agent, epoch, id)?;
        if let Some((chat, _)) = self.chats[id].assist.clone() {
            self.part(id, "");
            return Ok(self.answer(&chat));
        }
        self.end(id, agent, "");
        Ok(self.answer(id))
    }

    pub(crate) fn finish_wrap_up(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
    ) -> Result<Answer, Reject> {
        let wraps_up = |p: &Phase| matches!(p, Phase::WrapUp { .. });
        self.owned(agent, epoch, id, wraps_up, "in wrap-up")?;
        self.wrapped_up(id);
        Ok(self.answer(id))
    }

    pub(crate) fn rate_chat(
        &mut self,
        id: &ChatId,
        stars: u32,
        comment: &str,
    ) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        let chat = self.chat(id)?;
        if !matches!(
            chat.phase,
            Phase::Closed(Closed::Answered) | Phase::WrapUp { .. }
        ) {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is not over; rate it once it has ended"
            )));
        }
        if chat.stars > 0 {
            return Err(Reject::Conflict(format!("chat '{id}' is rated already")));
        }
        let event = self.event(What::Rated, None, &format!("{stars} of 5"));
        self.edit_chat(id, |c| {
            c.stars = stars;
            c.comment = comment.to_owned();
            c.tell(event);
        });
        if self.chats[id].is_closed() {
            self.work.history.insert(id.clone(), self.chats[id].clone());
        }
        Ok(Answer::Done)
    }
}

pub(crate) fn unknown(field: &str, kind: &'static str, id: &str) -> Reject {
    Reject::Unknown {
        field: field.to_owned(),
        kind,
        id: id.to_owned(),
    }
}
