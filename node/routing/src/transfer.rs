//! Where a chat is sent: by its agent, by a supervisor, or with an assist.

use std::fmt;

use crate::chat::unknown;
use crate::command::Bounded;
use crate::effect::{Answer, Reject};
use crate::explain::What;
use crate::fit::{Bench, Fit};
use crate::ids::*;
use crate::limits::*;
use crate::matching::Preference;
use crate::model::*;
use crate::offer::{bounds, bytes};
use crate::reason::Candidate;
use crate::state::{Chat, State};

/// Where a chat is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferTo {
    /// The waiting line of a queue.
    Queue(QueueId),
    /// A named agent first; after one unanswered offer, the chat's queue.
    Agent(AgentId),
    /// Whoever of the chat's queue has these skills beside those it wants already.
    Skills(Vec<SkillLevel>),
    /// The agents of a region, for a while alone.
    Region(Toward),
}

/// A place to go that was found to exist.
pub(crate) enum Destination {
    /// A line: the queue itself, or an open one it overflows into; `None` where all are closed.
    Line { place: Option<QueueId> },
    /// An agent who has room.
    Agent(AgentId),
}

impl fmt::Display for TransferTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue '{queue}'"),
            Self::Agent(agent) => write!(f, "agent '{agent}'"),
            Self::Skills(skills) => {
                let names: Vec<_> = skills
                    .iter()
                    .map(|s| format!("{} {}", s.skill, s.level))
                    .collect();
                write!(f, "skills '{}'", names.join(", "))
            }
            Self::Region(to) => write!(f, "region '{}'", to.region),
        }
    }
}

impl Bounded for TransferTo {
    fn check(&self, at: &str) -> Result<(), Reject> {
        match self {
            Self::Queue(queue) => bytes(&format!("{at}.queue_id"), queue.as_str(), 1, ID_BYTES_MAX),
            Self::Agent(other) => bytes(&format!("{at}.agent_id"), other.as_str(), 1, ID_BYTES_MAX),
            Self::Skills(skills) => {
                let field = format!("{at}.skills");
                bounds(&field, skills.len() as u64, 1, CHAT_SKILLS_MAX as u64)?;
                crate::checks::check_skills(&field, skills, CHAT_SKILLS_MAX)
            }
            Self::Region(to) => {
                bytes(
                    &format!("{at}.region_id"),
                    to.region.as_str(),
                    1,
                    ID_BYTES_MAX,
                )?;
                let hold = to.hold_ms.into();
                bounds(&format!("{at}.hold_ms"), hold, 1, DAY_MS.into())
            }
        }
    }
}

impl TransferTo {
    /// What becomes of the chat's wishes.
    pub(crate) fn change(&self, chat: &mut Chat) {
        chat.toward = None;
        match self {
            Self::Queue(queue) => chat.queue = queue.clone(),
            Self::Agent(_) => {}
            Self::Region(to) => chat.toward = Some(to.clone()),
            Self::Skills(skills) => {
                for new in skills {
                    match chat.skills.iter_mut().find(|s| s.skill == new.skill) {
                        Some(old) => old.level = new.level,
                        None => chat.skills.push(new.clone()),
                    }
                }
                chat.skills.sort_by(|a, b| a.skill.cmp(&b.skill));
            }
        }
    }
}

impl State {
    /// Looks whether a chat can go there; `from` = who has it now.
    pub(crate) fn destination(
        &self,
        id: &ChatId,
        to: &TransferTo,
        from: Option<&AgentId>,
    ) -> Result<Destination, Reject> {
        let chat = &self.chats[id];
        let queue = match to {
            TransferTo::Queue(queue) => queue,
            TransferTo::Skills(skills) => {
                let more = |s: &&SkillLevel| chat.skills.iter().all(|c| c.skill != s.skill);
                let count = chat.skills.len() + skills.iter().filter(more).count();
                bounds("to.skills", count as u64, 1, CHAT_SKILLS_MAX as u64)?;
                &chat.queue
            }
            TransferTo::Region(to) => {
                self.regions
                    .get(&to.region)
                    .ok_or_else(|| unknown("to.region_id", "region", to.region.as_str()))?;
                &chat.queue
            }
            TransferTo::Agent(other) => return self.agent_with_room(chat, other, from),
        };
        let queue = self
            .queues
            .get(queue)
            .ok_or_else(|| unknown("to.queue_id", "queue", queue.as_str()))?;
        self.check_weight(queue, chat.weight, chat.interrupting)?;
        let open = self.open_queue(queue);
        self.check_full(open.unwrap_or(queue))?;
        Ok(Destination::Line {
            place: open.map(|q| q.id.clone()),
        })
    }

    fn agent_with_room(
        &self,
        chat: &Chat,
        other: &AgentId,
        from: Option<&AgentId>,
    ) -> Result<Destination, Reject> {
        let state = self
            .agents
            .get(other)
            .ok_or_else(|| unknown("to.agent_id", "agent", other.as_str()))?;
        let most = Bench::of(&state.config, self.meta.now).room(chat.interrupting);
        let room = self.load(other) + chat.weight <= most;
        if Some(other) == from || !room || self.index.ready_row(other).is_none() {
            return Err(Reject::Conflict(format!(
                "agent '{other}' cannot take a chat now; choose another agent or a queue"
            )));
        }
        Ok(Destination::Agent(other.clone()))
    }

    /// Sends a chat on, which waits already in name: it joins the line, or is offered to the agent named.
    pub(crate) fn send(&mut self, id: &ChatId, to: Destination, by: &dyn fmt::Display) {
        match to {
            Destination::Line { place } => self.line_up(id, place),
            Destination::Agent(agent) => {
                self.edit_chat(id, |_| {});
                let named = Candidate::named(&agent, by);
                let to = Preference {
                    sticky: 0,
                    fit: Fit::default(),
                    sun: 0,
                    first: 0,
                    idle_since: 0,
                    agent,
                    via: self.chats[id].queue.clone(),
                };
                self.offer(id, &[to], "", vec![named]);
            }
        }
    }

    pub(crate) fn transfer_chat(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
        to: &TransferTo,
        note: &str,
        take_back: bool,
    ) -> Result<Answer, Reject> {
        self.active_with(agent, epoch, id)?;
        self.not_assist(id)?;
        let destination = self.destination(id, to, Some(agent))?;
        self.part_all(id, "the chat was handed on");
        let event = self.event(What::Transferred, Some(agent), &format!("to {to}"));
        let until = self.meta.now + self.kept_from(&self.chats[id]);
        let bot = self.agents.get(agent).is_some_and(|a| a.config.bot);
        self.wait_again(id, event, |c| {
            to.change(c);
            c.note = note.to_owned();
            c.people_only |= bot;
            // Nobody hands a chat on to get it back at once, unless they ask for that.
            c.refusals = vec![(agent.clone(), until)];
            if take_back {
                c.refusals.clear();
                c.last = Some(agent.clone());
            }
        });
        self.let_go(Some(agent));
        self.send(id, destination, agent);
        Ok(self.answer(id))
    }

    /// A supervisor sends an open chat elsewhere, whoever has it.
    pub(crate) fn move_chat(
        &mut self,
        id: &ChatId,
        to: &TransferTo,
        note: &str,
        who: &str,
    ) -> Result<Answer, Reject> {
        let chat = self.chat(id)?;
        self.not_assist(id)?;
        if matches!(chat.phase, Phase::WrapUp { .. } | Phase::Closed(_)) {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is over, so it cannot be moved"
            )));
        }
        let from = match &chat.phase {
            Phase::Active { agent } => Some(agent.clone()),
            _ => None,
        };
        let destination = self.destination(id, to, from.as_ref())?;
        self.part_all(id, "the chat was moved");
        self.withdraw_all(id, What::OfferWithdrawn, "the chat was moved", false);
        let detail = format!("by {who} to {to}");
        let event = self.event(What::Moved, from.as_ref(), &detail);
        self.wait_again(id, event, |c| {
            to.change(c);
            if !note.is_empty() {
                c.note = note.to_owned();
            }
            c.refusals.clear();
        });
        self.let_go(from.as_ref());
        self.send(id, destination, &who);
        Ok(self.answer(id))
    }

    /// A supervisor takes part in an open chat, in another way, or no more.
    pub(crate) fn supervise(
        &mut self,
        id: &ChatId,
        who: &str,
        how: Option<Watch>,
    ) -> Result<Answer, Reject> {
        let chat = self.chat(id)?;
        self.not_assist(id)?;
        if chat.is_closed() {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is over; there is nothing to follow"
            )));
        }
        let there = chat.watchers.iter().find(|w| w.who == who).map(|w| w.how);
        if there == how {
            return Ok(self.answer(id));
        }
        if there.is_none() && chat.watchers.len() >= WATCHERS_MAX {
            return Err(Reject::Full {
                field: "chat_id".into(),
                limit: WATCHERS_MAX as u64,
                retry_ms: 60_000,
            });
        }
        let words = match how {
            None => "goes",
            Some(Watch::Monitor) => "reads along",
            Some(Watch::Whisper) => "speaks to the agents",
            Some(Watch::Barge) => "takes part",
        };
        let event = self.event(What::Supervised, None, &format!("{who} {words}"));
        self.edit_chat(id, |c| {
            match (how, c.watchers.iter_mut().find(|w| w.who == who)) {
                (None, _) => c.watchers.retain(|w| w.who != who),
                (Some(how), Some(there)) => there.how = how,
                (Some(how), None) => c.watchers.push(Watcher {
                    who: who.to_owned(),
                    how,
                }),
            }
            c.tell(event);
        });
        Ok(self.answer(id))
    }
}
