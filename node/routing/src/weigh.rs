//! Who was weighed: the sample of agents that is recorded with a decision, and why one agent may not take one
//! chat.

use std::collections::BTreeSet;

use crate::explain::{Candidate, Rule};
use crate::fit::{Entry, Only};
use crate::ids::*;
use crate::index::LineId;
use crate::limits::CANDIDATES_MAX;
use crate::matching::Preference;
use crate::model::*;
use crate::state::{Chat, State};
use crate::sun::SunOrder;

/// How many who are not there are told with a decision.
const ABSENT_TOLD: usize = 3;
/// How many ready agents of one bench are looked at to tell of a decision.
const SEEN_MAX: usize = 8;

impl State {
    /// Who was weighed when `chosen` was, or when nobody was: the chosen, runners-up, best first, then some
    /// who could not take it and why. A bounded sample, so that recording costs no more than deciding.
    pub(crate) fn weighed(
        &self,
        id: &ChatId,
        chosen: Option<&Preference>,
        sun: &SunOrder,
    ) -> Vec<Candidate> {
        let chat = &self.chats[id];
        let Some((line, stage)) = self.index.line_of(id) else {
            return Vec::new();
        };
        let rows = &self.index.lines[line];
        let chosen_bench = chosen.and_then(|c| self.index.bench_of(&c.agent));
        let mut eligible: Vec<Preference> = chosen.cloned().into_iter().collect();
        let mut refused = Vec::new();
        // Benches without anybody are left out, since not every replica has them; each is looked at once.
        let mut seen = BTreeSet::new();
        let some = |b: usize| !self.index.benches[b].members.is_empty();
        let fits = rows.fits[stage].iter().filter(|r| some(r.bench));
        let fits: Vec<_> = fits.filter(|r| seen.insert(r.bench)).collect();
        // Told only when it is certain: everybody who fits was looked at.
        let mut all_seen = fits.len() <= CANDIDATES_MAX;
        let (near, far) = fits.split_at(fits.len().min(CANDIDATES_MAX));
        let own = far.iter().filter(|r| Some(r.bench) == chosen_bench);
        for row in near.iter().chain(own) {
            let bench = &self.index.benches[row.bench];
            let others = bench.ready.iter();
            let others = others.filter(|a| chosen.is_none_or(|c| c.agent != **a));
            let mut found = 0;
            for (seen, agent) in others.enumerate() {
                if found == 2 || seen == SEEN_MAX {
                    all_seen = false;
                    break;
                }
                match self.refusal_of(chat, line, stage, agent) {
                    Some(refusal) => refused.push(refusal),
                    None => {
                        eligible.extend(self.alone(chat, rows, stage, row, agent, sun));
                        found += 1;
                    }
                }
            }
            let absent = bench.members.iter().take(4);
            let absent = absent.filter(|a| self.index.ready_row(a).is_none());
            refused.extend(absent.filter_map(|a| self.refusal_of(chat, line, stage, a)));
        }
        eligible.sort();
        eligible.truncate(CANDIDATES_MAX / 2);
        let strategy = self.strategy(chat);
        let mut told: Vec<Candidate> = Vec::new();
        if let Some((best, others)) = eligible.split_first() {
            let next = others.first();
            told.push(Candidate::chosen(chat, strategy, best, next, all_seen));
            let runner_up = |p| Candidate::runner_up(chat, strategy, best, p);
            told.extend(others.iter().map(runner_up));
        }
        // Benches in reach that do not fit at all: one member each.
        let reach = rows.stages[stage].reach.iter();
        let benches = reach
            .filter_map(|r| self.index.queue_benches.get(&r.queue))
            .flatten();
        let misfits = benches
            .filter_map(|(key, b)| Some((key, self.index.benches[*b].members.first()?)))
            .take(CANDIDATES_MAX)
            .filter(|(key, _)| self.entries(&rows.key, &rows.stages[stage], key).is_err())
            .take(CANDIDATES_MAX / 4);
        refused.extend(misfits.filter_map(|(_, a)| self.refusal_of(chat, line, stage, a)));
        // The busy and the willing tell more than those who are not there.
        refused.sort_by_key(Candidate::weight);
        refused.dedup_by(|a, b| a.agent == b.agent);
        let absent = refused.partition_point(|c| c.rule != Rule::Presence);
        let last = self
            .belongs_to(chat)
            .filter(|last| chosen.is_none_or(|c| c.agent != **last));
        let last = last.and_then(|last| self.refusal_of(chat, line, stage, last));
        refused.truncate((absent + ABSENT_TOLD).min(CANDIDATES_MAX - 1 - told.len()));
        if let Some(last) = last {
            refused.retain(|c| c.agent != last.agent);
            told.push(last.of_sticky(chat));
        }
        told.extend(refused);
        told
    }

    /// Why an agent may not take a waiting chat now, or `None` when they may.
    pub(crate) fn refusal_of(
        &self,
        chat: &Chat,
        line: LineId,
        stage: usize,
        id: &AgentId,
    ) -> Option<Candidate> {
        let agent = self.agents.get(id)?;
        let at = &self.index.lines[line].stages[stage];
        let bench_id = self.index.bench_of(id)?;
        let bench = &self.index.benches[bench_id].key;
        let entries = match self.entries(&self.line_key(chat), at, bench) {
            Ok(entries) => entries,
            Err(misfit) => return Some(Candidate::misfit(id, misfit)),
        };
        let no = |rule, reason: String| Some(Candidate::refused(id, rule, reason));
        if agent.presence != Presence::Available {
            let word = crate::explain::presence_word(agent.presence);
            return no(Rule::Presence, format!("is {word}"));
        }
        if !self.takes_chats(agent) {
            let why = if self.region_shut(&agent.config.region) {
                "is in a region that was closed"
            } else if self.on_shift(agent) {
                "is near the end of their shift"
            } else {
                "is off shift"
            };
            return no(Rule::Shift, why.into());
        }
        let entries = match self.open_to(line, stage, id, entries) {
            Ok(open) => open,
            Err((rule, why)) => return no(rule, why),
        };
        let load = self.load(id);
        let room = bench.room(chat.interrupting);
        if load + chat.weight > room {
            return no(
                Rule::Capacity,
                format!(
                    "{load} of {room} units in use, the chat takes {}",
                    chat.weight
                ),
            );
        }
        let full = self.full_queues(agent);
        let via = |e: &Entry| &at.reach[usize::from(e.reach)].queue;
        if entries.iter().all(|e| full.contains(via(e))) {
            let queue = entries.first().map(via)?;
            return no(
                Rule::QueueCap,
                format!("carries as many chats of queue '{queue}' as they may"),
            );
        }
        if self.kept_for_heavier(chat, bench_id, id) {
            return no(
                Rule::Capacity,
                "keeps room for a chat that came before and takes more".into(),
            );
        }
        if self.refused(chat, id) {
            return no(Rule::Declined, self.refused_words(chat));
        }
        None
    }

    /// Those of the ways to a chat that are open to an agent just now, or what shuts them.
    fn open_to(
        &self,
        line: LineId,
        stage: usize,
        id: &AgentId,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, (Rule, String)> {
        let rows = &self.index.lines[line];
        let (at, gates) = (&rows.stages[stage], self.gates(rows, stage));
        let only = |way: u16| &at.ways[usize::from(way)].only;
        let mine = |e: &&Entry| match only(e.fit.way) {
            Only::Agent(agent) => agent == id,
            _ => true,
        };
        let mine: Vec<Entry> = entries.iter().filter(mine).copied().collect();
        let open: Vec<Entry> = mine.iter().filter(|e| gates.open(e)).copied().collect();
        if !open.is_empty() {
            return Ok(open);
        }
        Err(
            match (mine.iter().all(|e| gates.in_reach(e)), only(gates.way)) {
                (true, Only::Anyone) => (
                    Rule::Overflow,
                    "somebody whom an earlier step lets in is at work".into(),
                ),
                (true, only) => (Rule::Held, format!("the chat is held for {only} for now")),
                (false, _) => (
                    Rule::Overflow,
                    "the chat's queue does not overflow so far just now".into(),
                ),
            },
        )
    }

    fn refused_words(&self, chat: &Chat) -> String {
        let kept = self.kept_from(chat) as u64;
        format!(
            "declined, ignored or handed it on within the last {} s",
            kept.div_ceil(1000)
        )
    }
}
