//! Who was weighed: the agents recorded with a decision, and why one agent may not take one chat.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::fit::{Misfit, Only};
use crate::ids::*;
use crate::index::{BenchId, Row};
use crate::limits::CANDIDATES_MAX;
use crate::matching::{Preference, Seeker};
use crate::model::*;
use crate::reason::{Candidate, Reason};
use crate::state::{Chat, State};
use crate::sun::SunOrder;

/// How many who might have taken the chat are recorded with a decision, the chosen one included.
const ELIGIBLE_TOLD: usize = 3;
/// How many who are not there.
const ABSENT_TOLD: usize = 2;
/// How many benches of a kind that does not fit.
const MISFITS_TOLD: usize = 2;
/// How many benches that fit are looked at.
const BENCHES_TOLD: usize = 16;
/// How many of one bench are looked at for those who may not.
const LOOKED_AT: usize = 4;

/// A bench that fits, and its ways to the chat.
type Ways<'a> = (BenchId, Cow<'a, [Row]>);

impl State {
    /// Who was weighed when `chosen` was, or when nobody was: the chosen, runners-up, best first, then some who could
    /// not take it and why. Everybody when somebody asked; else a sample, so that recording costs no more than
    /// deciding.
    pub(crate) fn weighed(
        &self,
        seeker: &Seeker,
        chosen: Option<&Preference>,
        sun: &SunOrder,
    ) -> Vec<Candidate> {
        if self.asked_of.as_ref() == Some(&seeker.chat.id) {
            return self.everybody(seeker, chosen, sun);
        }
        let mut eligible: Vec<Preference> = chosen.cloned().into_iter().collect();
        let mut refused = Vec::with_capacity(CANDIDATES_MAX);
        let (benches, more) = self.nearest(seeker);
        // That nobody else was free is told only when it is certain.
        let mut all_seen = !more;
        for (id, rows) in &benches {
            let bench = &self.index.benches[*id];
            let mut unwilling = 0;
            for agent in bench.ready.iter() {
                if chosen.is_some_and(|c| c.agent == *agent) {
                    continue;
                }
                if eligible.len() == ELIGIBLE_TOLD || unwilling == LOOKED_AT {
                    all_seen = false;
                    break;
                }
                match self.verdict(seeker, *id, rows, agent, sun) {
                    Ok(preference) => eligible.push(preference),
                    Err(refusal) => {
                        unwilling += 1;
                        refused.push(refusal);
                    }
                }
            }
            let all_ready = bench.ready.len() == bench.members.len();
            if !all_ready && refused.len() < CANDIDATES_MAX {
                let others = bench.members.iter().take(LOOKED_AT);
                let others = others.filter(|a| self.index.ready_row(a).is_none());
                refused
                    .extend(others.filter_map(|a| self.verdict(seeker, *id, rows, a, sun).err()));
            }
        }
        // Benches in reach that do not fit at all: one member each.
        let first = |b: BenchId| Some((b, self.index.benches[b].members.first()?));
        let misfits = self.in_reach(seeker).filter_map(first).take(CANDIDATES_MAX);
        let misfits = misfits.filter(|(b, _)| seeker.of_bench(*b).next().is_none());
        let misfits = misfits.take(MISFITS_TOLD);
        refused.extend(misfits.filter_map(|(b, a)| self.verdict(seeker, b, &[], a, sun).err()));
        let mut told = self.told(seeker, eligible, all_seen);
        // The busy and the willing tell more than those who are not there.
        refused.sort_by(|a, b| a.weight().cmp(&b.weight()));
        refused.dedup_by(|a, b| a.agent == b.agent);
        let absent = |c: &Candidate| matches!(c.reason, Reason::Presence(_));
        let there = refused.partition_point(|c| !absent(c));
        refused.truncate((there + ABSENT_TOLD).min(CANDIDATES_MAX - 1 - told.len()));
        let theirs = seeker.chat.belongs_to();
        let theirs = theirs.filter(|agent| chosen.is_none_or(|c| c.agent != **agent));
        if let Some(refusal) = theirs.and_then(|agent| self.refusal_of(seeker, agent, sun)) {
            refused.retain(|c| c.agent != refusal.agent);
            told.push(Candidate {
                theirs: seeker.chat.belongs(),
                ..refusal
            });
        }
        told.extend(refused);
        told
    }

    /// The benches that fit best, with all their ways, and whether there are more. Those without anybody are left out,
    /// since not every replica has them.
    fn nearest<'a>(&self, seeker: &Seeker<'a>) -> (Vec<Ways<'a>>, bool) {
        let at = &seeker.rows.stages[seeker.stage];
        let several = at.ways.len() > 1 || at.reach.len() > 1;
        let mut nearest: Vec<Ways> = Vec::new();
        let fits = &seeker.rows.fits[seeker.stage];
        let some = |row: &&Row| !self.index.benches[row.bench].members.is_empty();
        let mut more = false;
        for row in fits.iter().filter(some) {
            let known = several.then(|| nearest.iter().position(|(b, _)| *b == row.bench));
            match known.flatten() {
                Some(at) => nearest[at].1.to_mut().push(*row),
                None if nearest.len() < BENCHES_TOLD => {
                    nearest.push((row.bench, Cow::Borrowed(std::slice::from_ref(row))));
                }
                None => more = true,
            }
            // The other ways of those known may come later still.
            if more && !several {
                break;
            }
        }
        (nearest, more)
    }

    /// From here on every decision about a chat records everybody who was weighed, not a sample. For a state that lives
    /// through the past again: one that counts would differ from its replicas.
    pub fn ask_of(&mut self, chat: &ChatId) {
        self.asked_of = Some(chat.clone());
    }

    /// Takes who was weighed for a chat at a log index from another telling of the same story, which knows more.
    pub fn recall(&mut self, told: &Chat, index: u64) {
        let Some(chat) = self.chats.get_mut(&told.id) else {
            return;
        };
        for event in chat.events.iter_mut().filter(|e| e.index == index) {
            let mut same = told.events.iter().filter(|e| e.index == event.index);
            if let Some(told) = same.find(|e| e.what == event.what && e.agent == event.agent) {
                event.candidates.clone_from(&told.candidates);
            }
        }
    }

    /// How every agent of the queues in reach stands towards a waiting chat now, best first. Empty for a chat that does
    /// not wait. Walks all agents of those queues: for people, not for the hot path.
    pub fn standing(&self, chat: &ChatId) -> Vec<Candidate> {
        let seeker = self.seeker(chat);
        let all = seeker.map(|s| self.everybody(&s, None, &self.sun_order()));
        all.unwrap_or_default()
    }

    /// Every agent of the queues in reach.
    fn everybody(
        &self,
        seeker: &Seeker,
        chosen: Option<&Preference>,
        sun: &SunOrder,
    ) -> Vec<Candidate> {
        let mut eligible: Vec<Preference> = chosen.cloned().into_iter().collect();
        let mut refused = Vec::new();
        let mut ways: BTreeMap<BenchId, Vec<Row>> = BTreeMap::new();
        for row in seeker.fits() {
            ways.entry(row.bench).or_default().push(*row);
        }
        for bench in self.in_reach(seeker).collect::<BTreeSet<_>>() {
            let rows = ways.get(&bench).map_or(&[][..], Vec::as_slice);
            for agent in &self.index.benches[bench].members {
                if chosen.is_some_and(|c| c.agent == *agent) {
                    continue;
                }
                match self.verdict(seeker, bench, rows, agent, sun) {
                    Ok(preference) => eligible.push(preference),
                    Err(refusal) => refused.push(refusal),
                }
            }
        }
        refused.sort_by(|a, b| a.weight().cmp(&b.weight()));
        let theirs = seeker.chat.belongs_to();
        for refusal in &mut refused {
            refusal.theirs = seeker
                .chat
                .belongs()
                .filter(|_| Some(&refusal.agent) == theirs);
        }
        let mut told = self.told(seeker, eligible, true);
        told.extend(refused);
        told
    }

    /// The chosen one and those who might have been, best first.
    fn told(
        &self,
        seeker: &Seeker,
        mut eligible: Vec<Preference>,
        all_seen: bool,
    ) -> Vec<Candidate> {
        eligible.sort();
        let Some((best, others)) = eligible.split_first() else {
            return Vec::new();
        };
        let (chat, strategy) = (seeker.chat, seeker.strategy);
        let chosen = Candidate::chosen(chat, strategy, best, others.first(), all_seen);
        let others = others.iter();
        let others = others.map(|p| Candidate::runner_up(chat, strategy, best, p));
        [chosen].into_iter().chain(others).collect()
    }

    /// The benches of the queues in reach, by what they are; one that serves several comes several times.
    fn in_reach(&self, seeker: &Seeker) -> impl Iterator<Item = BenchId> {
        let reach = seeker.rows.stages[seeker.stage].reach.iter();
        let benches = reach.filter_map(|r| self.index.queue_benches.get(&r.queue));
        benches.flatten().map(|(_, bench)| *bench)
    }

    /// How an agent ranks for a waiting chat by the ways of their bench, or the first rule that refuses them.
    fn verdict(
        &self,
        seeker: &Seeker,
        bench: BenchId,
        ways: &[Row],
        agent: &AgentId,
        sun: &SunOrder,
    ) -> Result<Preference, Candidate> {
        let (rows, stage) = (seeker.rows, seeker.stage);
        let no = |reason| Err(Candidate::refused(agent, reason));
        if ways.is_empty() {
            let key = &self.index.benches[bench].key;
            let misfit = self.entries(&rows.key, &rows.stages[stage], key).err();
            return no(Reason::Misfit(misfit.unwrap_or(Misfit::Queue)));
        }
        let mine = |row: &&Row| rows.held_for(stage, row).is_none_or(|only| only == agent);
        let mine = || ways.iter().filter(mine);
        let mut first = None;
        for row in mine().filter(|row| seeker.gates.open(&row.entry)) {
            match self.alone(seeker, row, agent, sun) {
                Ok(preference) => return Ok(preference),
                // By another queue there may be room still.
                Err(reason) => first = first.or(Some(reason)),
            }
        }
        if let Some(reason) = self.away(agent) {
            return no(reason);
        }
        no(first.unwrap_or_else(|| {
            let in_reach = mine().all(|row| seeker.gates.in_reach(&row.entry));
            match &rows.stages[stage].ways[usize::from(seeker.gates.way)].only {
                _ if !in_reach => Reason::NoOverflow,
                Only::Anyone => Reason::EarlierStep,
                only => Reason::HeldFor(only.clone()),
            }
        }))
    }

    /// Why an agent takes no chats at all just now.
    fn away(&self, id: &AgentId) -> Option<Reason> {
        if self.index.at_work(id) {
            return None;
        }
        let agent = self.agents.get(id)?;
        Some(if agent.presence != Presence::Available {
            Reason::Presence(agent.presence)
        } else if self.region_shut(&agent.config.region) {
            Reason::RegionClosed
        } else if self.on_shift(agent) {
            Reason::LastMoments
        } else {
            Reason::OffShift
        })
    }

    /// Why one agent may not take a chat now, or `None` when they may.
    pub(crate) fn refusal_of(
        &self,
        seeker: &Seeker,
        agent: &AgentId,
        sun: &SunOrder,
    ) -> Option<Candidate> {
        let bench = self.index.bench_of(agent)?;
        let ways: Vec<Row> = seeker.of_bench(bench).copied().collect();
        self.verdict(seeker, bench, &ways, agent, sun).err()
    }
}
