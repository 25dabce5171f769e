//! The audit: what clients were told, against what the cluster holds. Pure, so that a doctored day shows that
//! it can fail.

mod holds;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use meridian_load::people::notes::Act;
use meridian_load::stage::Stage;
use meridian_proto::livechat::v1 as api;
use meridian_traffic::format::Level;

use super::evidence::{Evidence, Record};
use super::ledger::{Entries, Visit};
use super::plan::{HUMAN, hour};
use super::report::{Failover, Percentiles, Report};
use crate::view::{closed_word, phase_word};

/// Events the cluster keeps of a chat; with so many the oldest may be gone.
const EVENTS_KEPT: usize = 64;

/// An agent as configured.
#[derive(Clone, Debug)]
pub struct Person {
    /// Home region.
    pub region: String,
    /// Capacity units.
    pub capacity: u32,
    /// Languages spoken.
    pub languages: Vec<(String, Level)>,
}

/// What is known of the day without asking anybody.
pub struct Facts {
    /// Repeats the day.
    pub seed: u64,
    /// When it was played.
    pub stage: Stage,
    /// Every agent by id.
    pub people: BTreeMap<String, Person>,
    /// When the simulated people had stopped, by the wall clock: nobody takes or leaves a chat from then on.
    pub rest_ms: i64,
    /// What came of the region's end.
    pub failure: Option<Failover>,
}

/// The report, with every fault found.
pub fn report(facts: &Facts, told: &Entries, evidence: &Evidence) -> Report {
    let mut audit = Audit {
        facts,
        told,
        evidence,
        report: Report {
            seed: facts.seed,
            offered: told.offered,
            accepted: told.visits.len() as u64,
            refused: told.refused.clone(),
            unknown: told.unknown.len() as u64,
            acknowledgements: told.deeds.len() as u64,
            human_speed: HUMAN,
            day_ms: facts.stage.length_ms,
            ..Default::default()
        },
    };
    audit.outcomes();
    audit.sums();
    audit.deeds();
    audit.owners();
    audit.capacities();
    audit.ghosts();
    audit.failover();
    let others = told.mishaps.iter().chain(&evidence.disagreement);
    audit.report.faults.extend(others.cloned());
    audit.report
}

struct Audit<'a> {
    facts: &'a Facts,
    told: &'a Entries,
    evidence: &'a Evidence,
    report: Report,
}

impl Audit<'_> {
    fn fault(&mut self, text: String) {
        self.report.faults.push(text);
    }

    fn record(&self, chat: &str) -> Option<&Record> {
        self.evidence.records.get(chat)?.as_ref()
    }

    /// What became of each accepted chat, and whether that agrees with what was told of it.
    fn outcomes(&mut self) {
        let (mut waits, mut felt, mut abandoned) = (Vec::new(), Vec::new(), Vec::new());
        let (mut matched, mut first, mut translated) = (0_u64, 0_u64, 0_u64);
        for (id, visit) in &self.told.visits {
            let Some(record) = self.record(id).cloned() else {
                self.report.lost += 1;
                self.fault(format!("chat {id} was accepted and is not known any more"));
                continue;
            };
            for problem in disagreements(visit, &record) {
                self.fault(format!("chat {id} {problem}"));
            }
            let chat = &record.chat;
            if let Some(problem) = self.classify(&record) {
                self.fault(format!("chat {id} {problem}"));
            }
            match chat.closed() {
                api::CloseReason::Answered => {}
                api::CloseReason::Abandoned => {
                    abandoned.extend(visit.left_ms);
                    continue;
                }
                _ => continue,
            }
            waits.push(chat.answered_ms - chat.arrived_ms);
            felt.extend(visit.felt_wait_ms);
            let person = self.facts.people.get(&chat.answered_by);
            let level = |language: &String| person.and_then(|p| p.level(language));
            let levels = || visit.asked.languages.iter().filter_map(level);
            let well = levels().any(|l| l >= Level::Working);
            matched += u64::from(well);
            translated += u64::from(!well && levels().any(|l| l == Level::Translated));
            let own = visit.asked.languages.first().and_then(level);
            first += u64::from(own.is_some_and(|l| l >= Level::Working));
            let region = person.map_or("?", |p| p.region.as_str());
            match hour(&self.facts.stage, chat.answered_ms) {
                Some(hour) => {
                    let hours = self.report.by_hour.entry(region.to_owned());
                    hours.or_insert_with(|| vec![0; 24])[hour] += 1;
                }
                None => self.report.after_midnight += 1,
            }
        }
        let share = |count: u64| match self.report.answered {
            0 => 0.0,
            answered => count as f64 / answered as f64,
        };
        self.report.language_match_share = share(matched);
        self.report.first_language_share = share(first);
        self.report.machine_translated_share = share(translated);
        self.report.wait_ms = Percentiles::of(waits);
        self.report.felt_wait_ms = Percentiles::of(felt);
        self.report.abandoned_wait_ms = Percentiles::of(abandoned);
    }

    /// Counts a chat by how it stands; tells when it must not stand so.
    fn classify(&mut self, record: &Record) -> Option<String> {
        let chat = &record.chat;
        let (report, answered) = (&mut self.report, chat.answered_ms > 0);
        let (count, sound) = match (chat.phase(), chat.closed()) {
            (api::ChatPhase::Closed, api::CloseReason::Answered) => {
                (&mut report.answered, answered)
            }
            (api::ChatPhase::Closed, api::CloseReason::Abandoned) => {
                (&mut report.abandoned, !answered)
            }
            (api::ChatPhase::Closed, api::CloseReason::Expired) => (&mut report.expired, true),
            (api::ChatPhase::Deferred, _) => (&mut report.deferred, chat.due_ms > 0),
            (api::ChatPhase::Active | api::ChatPhase::WrapUp, _) => {
                (&mut report.open, !chat.agent_id.is_empty())
            }
            (api::ChatPhase::Waiting | api::ChatPhase::Offered, _) => {
                // What moved once nobody was there any more came back by itself, and is not stuck.
                let rest = self.facts.rest_ms;
                let moved = record.events.iter().any(|e| e.at_ms >= rest);
                (&mut report.open, moved)
            }
            _ => (&mut report.open, false),
        };
        *count += 1;
        (!sound).then(|| {
            format!(
                "is stuck: {} ({}), agent '{}', answered at {}, due at {}",
                phase_word(chat.phase),
                closed_word(chat.closed),
                chat.agent_id,
                chat.answered_ms,
                chat.due_ms
            )
        })
    }

    /// Everybody who came is in the books, and every chat taken in is in one of the figures.
    fn sums(&mut self) {
        let r = &self.report;
        let refused: u64 = r.refused.values().sum();
        let (offered, accepted, unknown) = (r.offered, r.accepted, r.unknown);
        let settled = r.answered + r.abandoned + r.deferred + r.expired + r.open + r.lost;
        if offered != accepted + refused + unknown {
            self.fault(format!(
                "{offered} chats asked for, but {accepted} accepted, {refused} refused and {unknown} unknown"
            ));
        }
        if settled != accepted {
            self.fault(format!(
                "{accepted} chats accepted, {settled} accounted for"
            ));
        }
    }

    /// Each acknowledgement has its event in the chat's story, and each event serves one.
    fn deeds(&mut self) {
        let mut used = BTreeSet::new();
        let mut deeds: Vec<_> = self.told.deeds.iter().collect();
        deeds.sort_by_key(|d| std::cmp::Reverse(d.index));
        for deed in deeds {
            let (chat, agent) = (&deed.chat, &deed.agent);
            let Some(record) = self.record(chat) else {
                self.fault(format!(
                    "{:?} of chat {chat} was acknowledged, and the chat is not known",
                    deed.act
                ));
                continue;
            };
            let by_agent = |what: &'static str| {
                let fits = move |e: &&api::ChatEvent| {
                    e.what == what && e.agent_id == *agent && e.log_index <= deed.index
                };
                let fit = record.events.iter().rev().filter(fits);
                fit.map(|e| (chat.clone(), what, e.log_index))
                    .find(|key| !used.contains(key))
            };
            let told = |words: &[&str]| {
                let what = |e: &api::ChatEvent| words.contains(&e.what.as_str());
                record.events.iter().any(what)
            };
            let over = matches!(
                record.chat.phase(),
                api::ChatPhase::Closed | api::ChatPhase::WrapUp
            );
            let found = match deed.act {
                Act::Accept | Act::End => {
                    let word = if deed.act == Act::Accept {
                        "accepted"
                    } else {
                        "ended"
                    };
                    let key = by_agent(word);
                    let found = key.is_some() || is_cut_off(record, deed.index);
                    used.extend(key);
                    found
                }
                Act::Leave => over && told(&["abandoned", "ended", "expired"]),
                Act::Rate => told(&["rated"]),
                Act::WriteUp => record.chat.phase() == api::ChatPhase::Closed,
                // Of the others nothing is acknowledged but that the chat is there.
                Act::Start | Act::Offer | Act::Answer | Act::Notice | Act::SignOn => true,
            };
            if !found {
                self.fault(format!(
                    "{:?} of chat {chat} by '{agent}' was acknowledged at log index {}, and its story does not tell",
                    deed.act, deed.index
                ));
            }
        }
    }

    /// The cluster holds no chat that nobody can have asked for, and lists all it took in.
    fn ghosts(&mut self) {
        let Some(listed) = &self.evidence.listed else {
            return;
        };
        let mut unknown = self.told.unknown.clone();
        let mut ghosts = Vec::new();
        for chat in listed {
            if self.told.visits.contains_key(&chat.chat_id) {
                continue;
            }
            let asked = |u: &super::ledger::Asked| {
                u.queue == chat.queue_id && u.languages == chat.languages
            };
            match unknown.iter().position(asked) {
                Some(i) => drop(unknown.swap_remove(i)),
                None => ghosts.push(chat.chat_id.clone()),
            }
        }
        let ids: BTreeSet<&String> = listed.iter().map(|c| &c.chat_id).collect();
        let known = |id: &&String| self.record(id).is_some();
        let unlisted = self.told.visits.keys().filter(|id| !ids.contains(id));
        let unlisted: Vec<String> = unlisted.filter(known).cloned().collect();
        self.report.ghosts = Some(ghosts.len() as u64);
        for id in ghosts {
            self.fault(format!("chat {id} is listed and nobody asked for it"));
        }
        for id in unlisted {
            self.fault(format!("chat {id} is known and not listed"));
        }
    }

    fn failover(&mut self) {
        let Some(failure) = self.facts.failure.clone() else {
            return;
        };
        if !failure.led {
            self.fault(format!(
                "{} did not lead when it was killed",
                failure.region
            ));
        }
        if failure.target_ms.is_some_and(|t| failure.failover_ms > t) {
            self.fault(failure.told());
        }
        self.report.failover_ms = failure.led.then_some(failure.failover_ms);
        self.report.failure = Some(failure);
    }
}

/// Whether what happened at this index may have been dropped from the story.
fn is_cut_off(record: &Record, index: u64) -> bool {
    let oldest = record.events.first().map_or(0, |e| e.log_index);
    record.events.len() >= EVENTS_KEPT && index <= oldest
}

/// Where the cluster's last word on a chat contradicts what was told of it.
fn disagreements(visit: &Visit, record: &Record) -> Vec<String> {
    let mut found = visit.oddities.clone();
    let (now, last, first) = (&record.chat, &visit.last, &visit.first);
    if now.log_index < last.log_index {
        found.push(format!(
            "was told as of log index {}, and now stands at {}",
            last.log_index, now.log_index
        ));
    }
    if now.arrived_ms != first.arrived_ms {
        found.push(format!(
            "arrived at {}, and now at {}",
            first.arrived_ms, now.arrived_ms
        ));
    }
    // Overflow lends agents to a queue; only a transfer moves the chat.
    let moved = record.events.iter().any(|e| e.what == "transferred");
    if now.queue_id != visit.asked.queue && !moved {
        found.push(format!(
            "was asked for in queue '{}', and is in '{}'",
            visit.asked.queue, now.queue_id
        ));
    }
    if last.answered_ms > 0 && now.answered_ms != last.answered_ms {
        found.push(format!(
            "was answered at {}, and now at {}",
            last.answered_ms, now.answered_ms
        ));
    }
    if let Some(closed) = &visit.closed
        && (now.phase(), now.closed()) != (closed.phase(), closed.closed())
    {
        found.push(format!(
            "was told closed as {}, and now is {} ({})",
            closed_word(closed.closed),
            phase_word(now.phase),
            closed_word(now.closed)
        ));
    }
    found
}

impl Person {
    /// How well a language is spoken.
    fn level(&self, language: &str) -> Option<Level> {
        let same = self
            .languages
            .iter()
            .filter(|(spoken, _)| same_language(spoken, language));
        same.map(|(_, level)| *level).max()
    }
}

/// Whether two tags name one language: regions do not matter, scripts that differ do.
fn same_language(one: &str, other: &str) -> bool {
    let script = |tag: &'_ str| {
        tag.split('-')
            .find(|part| part.len() == 4)
            .map(str::to_owned)
    };
    let base = |tag: &'_ str| tag.split('-').next().map(str::to_owned);
    let scripts = (script(one), script(other));
    base(one) == base(other)
        && (scripts.0 == scripts.1 || scripts.0.is_none() || scripts.1.is_none())
}
