//! Assists: a second agent for a chat that has one, to take it over, to advise or to join. An assist waits, is offered
//! and takes units as a chat does, so that whoever helps has room for it; while it waits, nothing changes for the
//! chat it is for. It ends with its chat and leaves no trace but in the story of that chat.

use crate::chat::unknown;
use crate::effect::{Answer, Reject};
use crate::explain::What;
use crate::ids::*;
use crate::limits::*;
use crate::model::*;
use crate::state::{Chat, Key, State};
use crate::transfer::{Destination, TransferTo};

/// What an agent asks for.
pub(crate) struct Ask<'a> {
    pub chat: &'a ChatId,
    pub purpose: Purpose,
    pub to: &'a TransferTo,
    /// In ms; 0 = [`PATIENCE_USUAL_MS`].
    pub patience_ms: u32,
    pub note: &'a str,
}

impl Purpose {
    /// Every one, so that a written number can be read.
    pub const ALL: [Self; 4] = [Self::Handover, Self::Consult, Self::Join, Self::Relief];

    /// In words, after "asked".
    fn words(self) -> &'static str {
        match self {
            Self::Handover => "to hand over",
            Self::Consult => "for advice",
            Self::Join => "to join",
            Self::Relief => "for relief at the end of the shift",
        }
    }

    /// Whether whoever comes takes the chat over.
    pub(crate) fn takes_over(self) -> bool {
        matches!(self, Self::Handover | Self::Relief)
    }
}

impl State {
    /// The assists of a chat, in the order they were asked for.
    pub fn assists_of(&self, chat: &ChatId) -> impl Iterator<Item = &Chat> {
        let ids = self.index.assists.get(chat);
        ids.into_iter()
            .flatten()
            .filter_map(|(_, id)| self.chats.get(id))
    }

    pub(crate) fn ask_for(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        ask: &Ask<'_>,
    ) -> Result<Answer, Reject> {
        let id = ask.chat;
        self.active_with(agent, epoch, id)?;
        self.not_assist(id)?;
        if self.assists_of(id).count() >= ASSISTS_MAX {
            return Err(Reject::Full {
                field: "chat_id".into(),
                limit: ASSISTS_MAX as u64,
                retry_ms: PATIENCE_USUAL_MS,
            });
        }
        if ask.purpose.takes_over() && self.handed_over(id) {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is being handed over already; wait for that to end"
            )));
        }
        let to = self.destination(id, ask.to, Some(agent))?;
        if let Destination::Line { place: None } = &to {
            return Err(Reject::Conflict(
                "the queue is closed now, so nobody would come; choose another queue or an agent"
                    .into(),
            ));
        }
        let assist = self.assist(ask, to, agent);
        if self.chats.contains_key(&assist) {
            return Ok(self.answer(&assist));
        }
        // It was accepted by the queue itself, and is done with.
        Ok(self.answer(id))
    }

    /// Whether somebody is on the way to take a chat over.
    pub(crate) fn handed_over(&self, chat: &ChatId) -> bool {
        let purpose = |c: &Chat| c.assist.as_ref().map(|(_, purpose)| *purpose);
        self.assists_of(chat)
            .any(|c| purpose(c).is_some_and(Purpose::takes_over))
    }

    /// Only a chat of a visitor will do.
    pub(crate) fn not_assist(&self, id: &ChatId) -> Result<(), Reject> {
        match self.chats.get(id) {
            Some(chat) if chat.assist.is_none() => Ok(()),
            _ => Err(unknown("chat_id", "chat", id.as_str())),
        }
    }

    /// Sends an assist on its way.
    pub(crate) fn assist(&mut self, ask: &Ask<'_>, to: Destination, by: &AgentId) -> ChatId {
        let now = self.meta.now;
        let detail = format!("{}, from {}", ask.purpose.words(), ask.to);
        let asked = self.event(What::Asked, Some(by), &detail);
        self.edit_chat(ask.chat, |c| {
            c.asked += 1;
            c.tell(asked);
        });
        let chat = &self.chats[ask.chat];
        let id = ChatId::from(format!("{}~{}", chat.id, chat.asked));
        // Whoever takes part already does not come a second time.
        let there = self.assists_of(ask.chat).flat_map(Chat::holders);
        let there = there.chain(chat.holders()).map(|a| (a.clone(), TIME_MAX));
        let bot = self.agents.get(by).is_some_and(|a| a.config.bot);
        let mut assist = Chat {
            id: id.clone(),
            phase: Phase::Waiting,
            visitor: String::new(),
            owner: None,
            last: None,
            people_only: chat.people_only || bot,
            assist: Some((ask.chat.clone(), ask.purpose)),
            patience_ms: match ask.patience_ms {
                0 => PATIENCE_USUAL_MS,
                given => given,
            },
            asked: 0,
            watchers: Vec::new(),
            estimate_ms: None,
            note: ask.note.to_owned(),
            since: now,
            assignment: 0,
            deferrals: 0,
            refusals: there.collect(),
            answered: 0,
            answered_by: None,
            events: Vec::new(),
            index: self.meta.index,
            ..chat.clone()
        };
        if let TransferTo::Agent(agent) = ask.to {
            assist.owner = Some(agent.clone());
        }
        ask.to.change(&mut assist);
        assist.tell(self.event(What::Arrived, Some(by), ask.purpose.words()));
        self.chats.insert(id.clone(), assist);
        self.send(&id, to, by);
        id
    }

    /// An agent accepted an assist.
    pub(crate) fn assisted(&mut self, id: &ChatId, agent: &AgentId) {
        let Some((chat, purpose)) = self.chats[id].assist.clone() else {
            return;
        };
        if purpose.takes_over() {
            return self.take_over(&chat, id, agent);
        }
        let event = self.event(What::Joined, Some(agent), purpose.words());
        self.edit_chat(&chat, |c| c.tell(event));
    }

    /// An assist becomes the chat's agent; whoever was is free.
    pub(crate) fn take_over(&mut self, chat: &ChatId, assist: &ChatId, agent: &AgentId) {
        let before = self.chats[chat].holders().first().cloned();
        let note = self.chats[assist].note.clone();
        self.take_out(assist);
        let from = before
            .as_ref()
            .map_or(String::new(), |a| format!("from {a}"));
        let event = self.event(What::HandedOver, Some(agent), &from);
        self.edit_chat(chat, |c| {
            c.phase = Phase::Active {
                agent: agent.clone(),
            };
            c.answered_by = Some(agent.clone());
            if !note.is_empty() {
                c.note = note;
            }
            c.tell(event);
        });
        self.let_go(before.as_ref());
    }

    /// An assist is over: whoever came goes, or nobody came.
    pub(crate) fn part(&mut self, id: &ChatId, why: &str) {
        let Some((chat, purpose)) = self.chats.get(id).and_then(|c| c.assist.clone()) else {
            return;
        };
        let came = match &self.chats[id].phase {
            Phase::Active { agent } => Some(agent.clone()),
            _ => None,
        };
        self.withdraw_silently(id);
        self.take_out(id);
        let what = match came {
            Some(_) => What::Parted,
            None => What::Unassisted,
        };
        let event = self.event(what, came.as_ref(), why);
        self.edit_chat(&chat, |c| c.tell(event));
        self.let_go(came.as_ref());
        if came.is_none() && purpose == Purpose::Relief {
            self.unrelieved(&chat);
        }
    }

    /// A chat goes on without its assists.
    pub(crate) fn part_all(&mut self, chat: &ChatId, why: &str) {
        let ids: Vec<ChatId> = self.assists_of(chat).map(|c| c.id.clone()).collect();
        for id in ids {
            // Before the relief is told that nobody came: the chat has left its agent anyway.
            if let Some(assist) = self.chats.get(&id)
                && !matches!(assist.phase, Phase::Active { .. })
            {
                self.withdraw_silently(&id);
                self.take_out(&id);
            } else {
                self.part(&id, why);
            }
        }
    }

    /// The agent who joined a chat and could go on with it alone.
    pub(crate) fn companion(&self, chat: &ChatId) -> Option<(ChatId, AgentId)> {
        let joined = |c: &&Chat| matches!(c.assist, Some((_, Purpose::Join)));
        let mut assists = self.assists_of(chat).filter(joined);
        assists.find_map(|c| match &c.phase {
            Phase::Active { agent } => Some((c.id.clone(), agent.clone())),
            _ => None,
        })
    }

    /// Takes an assist out of the state.
    fn take_out(&mut self, id: &ChatId) {
        let holders = self.unindex_chat(id);
        self.chats.remove(id);
        self.work.dirty.push(Key::Chat(id.clone()));
        for agent in holders {
            self.work.touched.push(agent.clone());
            self.refresh_agent(&agent);
        }
    }

    /// The working day of a schedule ended at `at`: what its agents still have is handed over, if it says so.
    pub(crate) fn relieve(&mut self, schedule: &ScheduleId, at: Millis) {
        let Some(s) = self.schedules.get(schedule) else {
            return;
        };
        if s.handover_ms == 0 || !s.day_ended(at) {
            return;
        }
        let patience_ms = s.handover_ms;
        let agents = self.index.by_schedule.get(schedule).cloned();
        for agent in agents.into_iter().flatten() {
            if self.agents.get(&agent).is_some_and(|a| a.overtime) {
                continue;
            }
            let open = |c: &&Chat| matches!(c.phase, Phase::Active { .. }) && c.assist.is_none();
            let held: Vec<ChatId> = self
                .held(&agent)
                .filter(open)
                .map(|c| c.id.clone())
                .collect();
            for chat in held {
                if !self.handed_over(&chat) {
                    self.relieve_of(&agent, &chat, patience_ms);
                }
            }
        }
    }

    /// Hands a chat over to the region that leads the sun order, if another does; half of the time is its alone.
    fn relieve_of(&mut self, agent: &AgentId, chat: &ChatId, patience_ms: u32) {
        let own = self.agents.get(agent).map(|a| a.config.region.clone());
        let order = self.sun_order();
        let mut regions: Vec<_> = order.into_iter().collect();
        regions.sort_by_key(|(_, place)| *place);
        let next = regions
            .into_iter()
            .map(|(id, _)| id)
            .find(|r| Some(r) != own.as_ref());
        let to = match next {
            Some(region) => TransferTo::Region(Toward {
                region,
                hold_ms: patience_ms / 2,
            }),
            None => TransferTo::Queue(self.chats[chat].queue.clone()),
        };
        let ask = Ask {
            chat,
            purpose: Purpose::Relief,
            to: &to,
            patience_ms,
            note: "",
        };
        match self.destination(chat, &to, Some(agent)) {
            Ok(Destination::Line { place: None }) | Err(_) => self.unrelieved(chat),
            Ok(destination) => {
                self.assist(&ask, destination, agent);
            }
        }
    }

    /// Nobody took a chat over from an agent whose working day is over.
    fn unrelieved(&mut self, chat: &ChatId) {
        let Phase::Active { agent } = self.chats[chat].phase.clone() else {
            return;
        };
        let agent_state = self.agents.get(&agent);
        let schedule = agent_state.and_then(|a| a.config.schedule.as_ref());
        let schedule = schedule.and_then(|s| self.schedules.get(s));
        if !schedule.is_some_and(|s| s.handover_to_line) {
            return;
        }
        self.part_all(chat, "the chat went back to the line");
        let event = self.event(What::ShiftOver, Some(&agent), "nobody took over in time");
        let until = self.meta.now + self.kept_from(&self.chats[chat]);
        self.wait_again(chat, event, |c| c.refusals = vec![(agent.clone(), until)]);
        self.let_go(Some(&agent));
        self.line_up(chat, self.open_place(&self.chats[chat].queue));
    }
}

impl Schedule {
    /// Whether a working day ended at that very time.
    fn day_ended(&self, at: Millis) -> bool {
        let next = self.spans.partition_point(|s| s.end <= at);
        let last = next.checked_sub(1).map(|n| self.spans[n]);
        last.is_some_and(|span| span.end == at && self.day_end(span) == at)
    }
}
