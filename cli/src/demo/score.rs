//! What is counted while the day is played, and the report and audit at its end.

use std::collections::BTreeMap;

use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::Arrival;
use parking_lot::Mutex;
use serde::Serialize;

use super::plan::{HUMAN, Stage};
use crate::time::now_ms;

/// Talks of chats whose visitor has not heard back yet, in ms of life.
const TALK_MS: u32 = 300_000;

/// Who speaks what and stands where, by agent.
pub type Speakers = BTreeMap<String, (String, Vec<String>)>;

/// The running count.
pub struct Score {
    speakers: Speakers,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    offered: u64,
    refused: BTreeMap<String, u64>,
    chats: BTreeMap<String, Seen>,
    over_capacity: BTreeMap<String, (u32, u32)>,
}

/// One accepted chat as its visitor saw it.
struct Seen {
    languages: Vec<String>,
    region: String,
    talk_ms: u32,
    last: api::Chat,
    deferred: bool,
}

/// Where things stand, for the live table.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Chats asked for.
    pub offered: u64,
    /// Chats taken in.
    pub accepted: u64,
    /// By the visitors' region: waiting or on offer, with an agent, answered, abandoned, put off.
    pub regions: BTreeMap<String, [u64; 5]>,
    /// By first language, the busiest first: asked for, answered.
    pub languages: Vec<(String, u64, u64)>,
}

impl Score {
    /// Nothing counted yet.
    pub fn new(speakers: Speakers) -> Self {
        Self {
            speakers,
            inner: Mutex::default(),
        }
    }

    /// A visitor asks.
    pub fn offered(&self) {
        self.inner.lock().offered += 1;
    }
    /// A visitor was turned away, or nobody answered in time.
    pub fn refused(&self, why: &str) {
        *self.inner.lock().refused.entry(why.to_owned()).or_default() += 1;
    }
    /// A visitor was told that the chat is taken in: from here on it may not be lost.
    pub fn accepted(&self, id: &str, arrival: &Arrival, chat: &api::Chat) {
        let seen = Seen {
            languages: arrival.languages.clone(),
            region: arrival.region.to_string(),
            talk_ms: arrival.talk_ms,
            last: chat.clone(),
            deferred: false,
        };
        self.inner.lock().chats.insert(id.to_owned(), seen);
        self.seen(chat);
    }
    /// A visitor saw the chat change.
    pub fn seen(&self, chat: &api::Chat) {
        if let Some(seen) = self.inner.lock().chats.get_mut(&chat.chat_id) {
            seen.deferred |= chat.phase == i32::from(api::ChatPhase::Deferred);
            seen.last = chat.clone();
        }
    }
    /// An agent was told the load.
    pub fn load(&self, agent: &api::AgentState) {
        if agent.load > agent.capacity {
            self.inner
                .lock()
                .over_capacity
                .insert(agent.agent_id.clone(), (agent.load, agent.capacity));
        }
    }
    /// How long the talk of a chat takes, in ms of life.
    pub fn talk_ms(&self, chat: &str) -> u32 {
        self.inner
            .lock()
            .chats
            .get(chat)
            .map_or(TALK_MS, |c| c.talk_ms)
    }
    /// Every accepted chat.
    pub fn accepted_ids(&self) -> Vec<String> {
        self.inner.lock().chats.keys().cloned().collect()
    }
    /// Accepted chats whose visitor still expects something now.
    pub fn unsettled(&self) -> usize {
        let settled = |c: &&Seen| {
            matches!(
                phase(&c.last),
                api::ChatPhase::Closed | api::ChatPhase::Deferred
            )
        };
        let inner = self.inner.lock();
        inner.chats.len() - inner.chats.values().filter(settled).count()
    }

    /// Where things stand.
    pub fn standing(&self) -> Standing {
        let inner = self.inner.lock();
        let mut standing = Standing {
            offered: inner.offered,
            accepted: inner.chats.len() as u64,
            ..Default::default()
        };
        let mut languages = BTreeMap::<&str, (u64, u64)>::new();
        for chat in inner.chats.values() {
            let row = standing.regions.entry(chat.region.clone()).or_default();
            let place = match phase(&chat.last) {
                api::ChatPhase::Active | api::ChatPhase::WrapUp => 1,
                api::ChatPhase::Closed if chat.last.answered_ms > 0 => 2,
                api::ChatPhase::Closed => 3,
                api::ChatPhase::Deferred => 4,
                _ => 0,
            };
            row[place] += 1;
            let count = languages
                .entry(chat.languages.first().map_or("", String::as_str))
                .or_default();
            count.0 += 1;
            count.1 += u64::from(chat.last.answered_ms > 0);
        }
        standing.languages = languages
            .into_iter()
            .map(|(l, (a, b))| (l.to_owned(), a, b))
            .collect();
        standing
            .languages
            .sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        standing
    }
}

fn phase(chat: &api::Chat) -> api::ChatPhase {
    api::ChatPhase::try_from(chat.phase).unwrap_or_default()
}

/// What the cluster itself says of an accepted chat at the end.
pub enum Fate {
    /// It knows the chat, and this is its story.
    Known(Box<api::Chat>, Vec<api::ChatEvent>),
    /// It does not.
    Lost,
}

/// What came of a region's end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Failure {
    /// The region killed.
    pub region: String,
    /// Whether its node led.
    pub led: bool,
    /// From SIGKILL to the first new commit, in ms.
    pub failover_ms: u64,
    /// From its restart until it had caught up, in ms.
    pub back_ms: u64,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Repeats the day.
    pub seed: u64,
    /// Chats asked for.
    pub offered: u64,
    /// Chats the cluster took in.
    pub accepted: u64,
    /// Chats it refused, by reason; asked again by nobody.
    pub refused: BTreeMap<String, u64>,
    /// Chats an agent answered.
    pub answered: u64,
    /// Chats whose visitor left before.
    pub abandoned: u64,
    /// Chats put off to a later time, not answered within the day.
    pub deferred: u64,
    /// Chats put off too often.
    pub expired: u64,
    /// Chats still open at the end.
    pub open: u64,
    /// Accepted chats that the cluster no longer knows: must be 0.
    pub lost: u64,
    /// Chats that had two owners at once: must be 0.
    pub double_assigned: u64,
    /// Agents who ever carried more than their capacity: must be 0.
    pub over_capacity: u64,
    /// From SIGKILL to the first new commit.
    pub failover_ms: Option<u64>,
    /// The region killed.
    pub failure: Option<Failure>,
    /// Waiting time of answered chats, in ms of this machine's clock (people act 20 times as fast as in life).
    pub wait_ms: Percentiles,
    /// Share of answered chats whose agent speaks a language the visitor listed.
    pub language_match_share: f64,
    /// Chats answered in each hour of the day by the region of the agent.
    pub by_hour: BTreeMap<String, Vec<u64>>,
    /// How much faster than in life people act.
    pub human_speed: u64,
    /// How long the day took, in ms.
    pub day_ms: i64,
    /// What the audit found wrong; empty = nothing.
    pub faults: Vec<String>,
}

/// Waiting times.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Half waited at most this.
    pub p50: i64,
    /// Nine in ten.
    pub p90: i64,
    /// Ninety-nine in a hundred.
    pub p99: i64,
    /// The longest.
    pub max: i64,
}

impl Percentiles {
    fn of(mut waits: Vec<i64>) -> Self {
        waits.sort_unstable();
        let at = |share: usize| {
            waits
                .get((waits.len() * share / 100).min(waits.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0)
        };
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: waits.last().copied().unwrap_or(0),
        }
    }
}

impl Score {
    /// The report, from what visitors saw and what the cluster says now.
    pub fn report(
        &self,
        seed: u64,
        stage: &Stage,
        fates: &BTreeMap<String, Fate>,
        totals_agree: Result<(), String>,
        failure: Option<Failure>,
    ) -> Report {
        let inner = self.inner.lock();
        let mut report = Report {
            seed,
            offered: inner.offered,
            accepted: inner.chats.len() as u64,
            refused: inner.refused.clone(),
            answered: 0,
            abandoned: 0,
            deferred: 0,
            expired: 0,
            open: 0,
            lost: 0,
            double_assigned: 0,
            over_capacity: inner.over_capacity.len() as u64,
            failover_ms: failure.as_ref().filter(|f| f.led).map(|f| f.failover_ms),
            failure,
            wait_ms: Percentiles::default(),
            language_match_share: 0.0,
            by_hour: BTreeMap::new(),
            human_speed: HUMAN,
            day_ms: stage.ends() - stage.began(),
            faults: Vec::new(),
        };
        let (mut waits, mut matched) = (Vec::new(), 0_u64);
        for (id, seen) in &inner.chats {
            let Some(Fate::Known(chat, events)) = fates.get(id) else {
                report.lost += 1;
                report
                    .faults
                    .push(format!("chat {id} was accepted and is not known any more"));
                continue;
            };
            if let Some(fault) = two_owners(events) {
                report.double_assigned += 1;
                report.faults.push(format!("chat {id}: {fault}"));
            }
            match phase(chat) {
                _ if chat.answered_ms > 0 => {
                    report.answered += 1;
                    waits.push(chat.answered_ms - chat.arrived_ms);
                    let speaker = self.speakers.get(&chat.answered_by);
                    matched += u64::from(
                        speaker.is_some_and(|(_, spoken)| speaks(spoken, &seen.languages)),
                    );
                    let region = speaker.map_or("?", |(region, _)| region);
                    report
                        .by_hour
                        .entry(region.to_owned())
                        .or_insert_with(|| vec![0; 24])[stage.hour(chat.answered_ms)] += 1;
                }
                api::ChatPhase::Closed if chat.closed == i32::from(api::CloseReason::Expired) => {
                    report.expired += 1
                }
                api::ChatPhase::Closed => report.abandoned += 1,
                api::ChatPhase::Deferred => report.deferred += 1,
                _ => report.open += 1,
            }
        }
        report.wait_ms = Percentiles::of(waits);
        report.language_match_share = if report.answered == 0 {
            0.0
        } else {
            matched as f64 / report.answered as f64
        };
        for (agent, (load, capacity)) in &inner.over_capacity {
            report
                .faults
                .push(format!("agent {agent} carried {load} of {capacity} units"));
        }
        if let Err(fault) = totals_agree {
            report.faults.push(fault);
        }
        let told = report.answered
            + report.abandoned
            + report.deferred
            + report.expired
            + report.open
            + report.lost;
        if told != report.accepted {
            report.faults.push(format!(
                "{} chats accepted, {told} accounted for",
                report.accepted
            ));
        }
        report
    }
}

/// Whether a chat was accepted by a second agent before the first had let it go.
fn two_owners(events: &[api::ChatEvent]) -> Option<String> {
    let mut owner: Option<&str> = None;
    for event in events {
        match event.what.as_str() {
            "accepted" => {
                if let Some(first) = owner.filter(|o| *o != event.agent_id) {
                    return Some(format!(
                        "accepted by {} at log index {} while {first} owned it",
                        event.agent_id, event.log_index
                    ));
                }
                owner = Some(&event.agent_id);
            }
            "agent lost" | "transferred" | "ended" => owner = None,
            _ => {}
        }
    }
    None
}

/// Whether somebody speaks one of the languages, by base language.
fn speaks(spoken: &[String], wanted: &[String]) -> bool {
    let base = |tag: &str| tag.split('-').next().unwrap_or_default().to_owned();
    wanted
        .iter()
        .any(|w| spoken.iter().any(|s| base(s) == base(w)))
}

/// The wall clock in ms.
pub fn wall() -> i64 {
    now_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: &str, agent: &str) -> api::ChatEvent {
        api::ChatEvent {
            what: what.into(),
            agent_id: agent.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_second_owner_is_found_and_a_lost_one_is_not_counted() {
        let good = [
            event("accepted", "a"),
            event("agent lost", "a"),
            event("accepted", "b"),
            event("ended", "b"),
        ];
        assert_eq!(two_owners(&good), None);
        let bad = [event("accepted", "a"), event("accepted", "b")];
        assert!(two_owners(&bad).is_some_and(|text| text.contains("while a owned it")));
    }

    #[test]
    fn a_chat_the_cluster_forgot_is_a_fault() {
        let score = Score::new(Speakers::new());
        score.offered();
        let chat = api::Chat {
            chat_id: "c".into(),
            ..Default::default()
        };
        score.inner.lock().chats.insert(
            "c".into(),
            Seen {
                languages: vec![],
                region: "eu".into(),
                talk_ms: 1,
                last: chat,
                deferred: false,
            },
        );
        let stage =
            super::super::plan::Plan::make(1, 30, 1, 1_795_478_400_000, 60_000).map(|p| p.stage(0));
        let report = score.report(1, &stage.expect("a plan"), &BTreeMap::new(), Ok(()), None);
        assert_eq!((report.lost, report.faults.len()), (1, 1));
    }

    #[test]
    fn percentiles_of_nothing_are_nothing() {
        assert_eq!(Percentiles::of(vec![]).max, 0);
        let p = Percentiles::of((1..=100).collect());
        assert_eq!((p.p50, p.p90, p.p99, p.max), (51, 91, 100, 100));
    }
}
