//! Questions people ask: why does nobody take this chat, and what would happen if this agent signed on. Both walk
//! agents or copy the state: for people, not for the hot path.

use std::collections::BTreeMap;

use crate::chat::unknown;
use crate::command::{Command, Stamped};
use crate::deferral::Return;
use crate::effect::{Effect, Reject};
use crate::explain::Rule;
use crate::ids::*;
use crate::limits::GRACE_MS;
use crate::model::*;
use crate::reason::Candidate;
use crate::state::{Chat, State};

/// Why a chat waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The first rule that refused each agent of the queues in reach, with how many agents; most first.
    pub rules: Vec<(Rule, u32)>,
    /// When its next stage comes.
    pub next_stage: Option<Millis>,
    /// When the next shift begins of somebody who could take it in the end; `None` = not known, or somebody who could
    /// is at work.
    pub next_shift: Option<Millis>,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatIf {
    /// Chats the agent would be offered at once, in that order, as they would be.
    pub offered: Vec<Chat>,
    /// Units they would carry.
    pub load: u32,
    /// For chats of the agent's queues that would wait still, the first served first: why the agent would not have
    /// them.
    pub refusals: Vec<(ChatId, Candidate)>,
}

impl State {
    /// Why a waiting chat waits, by how everybody stands towards it ([`Self::standing`]); `None` for one that does not.
    pub fn why_waits(&self, id: &ChatId, standing: &[Candidate]) -> Option<Waits> {
        let (chat, (line, stage)) = self.chats.get(id).zip(self.index.line_of(id))?;
        let rows = &self.index.lines[line];
        let mut counts: BTreeMap<Rule, u32> = BTreeMap::new();
        for candidate in standing {
            *counts.entry(candidate.rule()).or_default() += 1;
        }
        let mut rules: Vec<(Rule, u32)> = counts.into_iter().collect();
        rules.sort_by_key(|(rule, count)| (std::cmp::Reverse(*count), *rule));
        let next_stage = rows.stages.get(stage + 1).map(|s| chat.since + s.after);
        let next_shift = match self.next_shift(rows) {
            Return::At(at) => Some(at),
            Return::Busy | Return::Unknown => None,
        };
        Some(Waits {
            rules,
            next_stage,
            next_shift,
        })
    }

    /// What would happen if an agent signed on and were available now: the same commands, on a copy.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn what_if(
        &self,
        agent: &AgentId,
        overtime: bool,
        refusals_max: usize,
    ) -> Result<WhatIf, Reject> {
        let known = self
            .agents
            .get(agent)
            .ok_or_else(|| unknown("agent_id", "agent", agent.as_str()))?;
        let mut copy = self.clone();
        let before = known.epoch;
        let mut effects = Vec::new();
        let open = Command::OpenSession {
            agent: agent.clone(),
            node: known.node.max(1),
            resume: before,
            grace_ms: GRACE_MS.0,
        };
        let available = Command::SetPresence {
            agent: agent.clone(),
            epoch: before + 1,
            presence: Presence::Available,
            overtime,
        };
        for command in [open, available] {
            let stamped = Stamped {
                index: copy.meta.index + 1,
                at: copy.meta.now,
                request_id: String::new(),
                actor: String::new(),
                command,
            };
            effects.extend(copy.apply(&stamped).effects);
        }
        let theirs = |effect: &Effect| match effect {
            Effect::OfferMade {
                agent: to, chat, ..
            } if to == agent => copy.chats.get(chat),
            _ => None,
        };
        let mut offered: Vec<Chat> = effects.iter().filter_map(theirs).cloned().collect();
        // What a queue accepts by itself is theirs without an offer.
        let accepted = copy.held(agent).filter(|c| {
            let had = self
                .chats
                .get(&c.id)
                .is_some_and(|c| c.holders().contains(agent));
            !had && !offered.iter().any(|o| o.id == c.id)
        });
        let accepted: Vec<Chat> = accepted.cloned().collect();
        offered.extend(accepted);
        let refusals = copy.refusals_of(agent, refusals_max);
        Ok(WhatIf {
            offered,
            load: copy.load(agent),
            refusals,
        })
    }

    /// Why an agent does not have the chats that wait in their queues, the first served first.
    fn refusals_of(&self, agent: &AgentId, most: usize) -> Vec<(ChatId, Candidate)> {
        let Some(known) = self.agents.get(agent) else {
            return Vec::new();
        };
        let queues = known.config.queues.iter();
        let orders = queues.filter_map(|s| self.index.order.get(&s.queue));
        let mut waiting: Vec<_> = orders.flat_map(|o| o.iter().take(most)).collect();
        waiting.sort();
        waiting.truncate(most);
        let sun = self.sun_order();
        let refusal = |id| self.refusal_of(&self.seeker(id)?, agent, &sun);
        waiting
            .into_iter()
            .filter_map(|(_, id)| Some((id.clone(), refusal(id)?)))
            .collect()
    }
}
