//! What clients were told while the day was played, kept as the audit's side of the story.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_load::people::notes::{Act, Came, Deed, Hold, HoldId, Notes};
use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::Arrival;
use parking_lot::Mutex;
use tonic::Status;

use crate::time::now_ms;

/// Filled by every simulated person.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

/// All that was told.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Chats asked for.
    pub offered: u64,
    /// Chats the cluster said no to, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Chats asked for without an answer in time: each may have been taken in, or not.
    pub unknown: Vec<Asked>,
    /// Chats taken in, by id.
    pub visits: BTreeMap<String, Visit>,
    /// What was acknowledged.
    pub deeds: Vec<Deed>,
    /// What agents were told they hold.
    pub holds: Vec<Hold>,
    /// Agents told of a load above their capacity, with both.
    pub overloads: BTreeMap<String, (u32, u32)>,
    /// Simulated people who came to grief.
    pub mishaps: Vec<String>,
}

/// What a visitor asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The queue.
    pub queue: String,
    /// Languages, best first.
    pub languages: Vec<String>,
}

/// One chat as its visitor, and the agents it went to, were told of it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What was asked for.
    pub asked: Asked,
    /// Where the visitor is.
    pub region: String,
    /// Capacity units.
    pub weight: u32,
    /// How long the talk takes, in ms of life.
    pub talk_ms: u32,
    /// When the visitor came, by the wall clock.
    pub came_ms: i64,
    /// As it was taken in.
    pub first: api::Chat,
    /// The newest that was told.
    pub last: api::Chat,
    /// As it was first seen closed.
    pub closed: Option<api::Chat>,
    /// From coming until an answer was seen.
    pub felt_wait_ms: Option<i64>,
    /// From coming until the visitor was told that leaving was noted.
    pub left_ms: Option<i64>,
    /// What must not be told of a chat: another arrival, or life after its close.
    pub oddities: Vec<String>,
}

/// Where things stand, for the live table.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Chats asked for.
    pub offered: u64,
    /// Chats taken in.
    pub accepted: u64,
    /// By the visitors' region.
    pub regions: BTreeMap<String, Counts>,
    /// By first language, the busiest first.
    pub languages: Vec<(String, Counts)>,
}

/// Chats by what became of them so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In line or on offer.
    pub waiting: u64,
    /// With an agent.
    pub talking: u64,
    /// Answered and over.
    pub answered: u64,
    /// Left before.
    pub abandoned: u64,
    /// Put off, for now or for good.
    pub deferred: u64,
}

impl Counts {
    fn add(&mut self, chat: &api::Chat) {
        let place = match (chat.phase(), chat.closed()) {
            (api::ChatPhase::Active | api::ChatPhase::WrapUp, _) => &mut self.talking,
            (api::ChatPhase::Closed, api::CloseReason::Answered) => &mut self.answered,
            (api::ChatPhase::Closed, api::CloseReason::Abandoned) => &mut self.abandoned,
            (api::ChatPhase::Closed | api::ChatPhase::Deferred, _) => &mut self.deferred,
            _ => &mut self.waiting,
        };
        *place += 1;
    }
    fn all(&self) -> u64 {
        self.waiting + self.talking + self.answered + self.abandoned + self.deferred
    }
}

impl Notes for Ledger {
    fn came(&self, _visitor: &Arrival, _came: Came) {
        self.entries.lock().offered += 1;
    }
    fn refused(&self, _visitor: &Arrival, _came: Came, why: &Status) {
        let mut entries = self.entries.lock();
        *entries.refused.entry(why.message().to_owned()).or_default() += 1;
    }
    fn unknown(&self, visitor: &Arrival, _came: Came) {
        self.entries.lock().unknown.push(Asked {
            queue: visitor.queue.clone(),
            languages: visitor.languages.clone(),
        });
    }
    fn taken_in(&self, visitor: &Arrival, came: Came, chat: &api::Chat) {
        let visit = Visit {
            asked: Asked {
                queue: visitor.queue.clone(),
                languages: visitor.languages.clone(),
            },
            region: visitor.region.to_string(),
            weight: visitor.weight,
            talk_ms: visitor.talk_ms,
            came_ms: came.ms,
            first: chat.clone(),
            last: chat.clone(),
            closed: None,
            felt_wait_ms: None,
            left_ms: None,
            oddities: Vec::new(),
        };
        let mut entries = self.entries.lock();
        entries.visits.insert(chat.chat_id.clone(), visit);
    }
    fn seen(&self, chat: &api::Chat) {
        if let Some(visit) = self.entries.lock().visits.get_mut(&chat.chat_id) {
            visit.seen(chat);
        }
    }
    fn answer_seen(&self, _visitor: &Arrival, came: Came, chat: &str) {
        if let Some(visit) = self.entries.lock().visits.get_mut(chat) {
            visit.felt_wait_ms.get_or_insert(now_ms() - came.ms);
        }
    }
    fn done(&self, deed: Deed, _took: Duration) {
        let mut entries = self.entries.lock();
        if deed.act == Act::Leave
            && let Some(visit) = entries.visits.get_mut(&deed.chat)
        {
            visit.left_ms = Some(now_ms() - visit.came_ms);
        }
        entries.deeds.push(deed);
    }
    fn hold(&self, hold: Hold) -> HoldId {
        let mut entries = self.entries.lock();
        entries.holds.push(hold);
        HoldId(entries.holds.len() - 1)
    }
    fn release(&self, hold: HoldId, index: u64) {
        if let Some(hold) = self.entries.lock().holds.get_mut(hold.0) {
            hold.until = Some(index);
        }
    }
    fn load(&self, agent: &api::AgentState) {
        if agent.load > agent.capacity {
            let mut entries = self.entries.lock();
            let units = (agent.load, agent.capacity);
            entries.overloads.insert(agent.agent_id.clone(), units);
        }
    }
    fn mishap(&self, what: String) {
        self.entries.lock().mishaps.push(what);
    }
    fn talk_ms(&self, chat: &str) -> Option<u32> {
        let entries = self.entries.lock();
        entries.visits.get(chat).map(|visit| visit.talk_ms)
    }
}

impl Ledger {
    /// Chats that are put off to a later time.
    pub fn put_off(&self) -> usize {
        let entries = self.entries.lock();
        let put_off = |v: &&Visit| v.last.phase() == api::ChatPhase::Deferred;
        entries.visits.values().filter(put_off).count()
    }
    /// All that was told.
    pub fn entries(&self) -> Entries {
        self.entries.lock().clone()
    }

    /// Where things stand.
    pub fn standing(&self) -> Standing {
        let entries = self.entries.lock();
        let mut standing = Standing {
            offered: entries.offered,
            accepted: entries.visits.len() as u64,
            ..Default::default()
        };
        let mut languages = BTreeMap::<&str, Counts>::new();
        for visit in entries.visits.values() {
            let first = visit.asked.languages.first().map_or("", String::as_str);
            languages.entry(first).or_default().add(&visit.last);
            let region = standing.regions.entry(visit.region.clone());
            region.or_default().add(&visit.last);
        }
        let owned = |(language, counts): (&str, Counts)| (language.to_owned(), counts);
        standing.languages = languages.into_iter().map(owned).collect();
        let by_size = |(_, counts): &(String, Counts)| std::cmp::Reverse(counts.all());
        standing.languages.sort_by_key(by_size);
        standing
    }
}

impl Visit {
    fn seen(&mut self, chat: &api::Chat) {
        if chat.arrived_ms != self.first.arrived_ms && self.oddities.is_empty() {
            self.oddities.push(format!(
                "arrived at {} when it was taken in, at {} by log index {}",
                self.first.arrived_ms, chat.arrived_ms, chat.log_index
            ));
        }
        let over = chat.phase() == api::ChatPhase::Closed;
        match &self.closed {
            Some(closed) if !over && chat.log_index > closed.log_index => {
                self.oddities.push(format!(
                    "was told closed at log index {}, and {} at {}",
                    closed.log_index,
                    crate::view::phase_word(chat.phase),
                    chat.log_index
                ));
            }
            None if over => self.closed = Some(chat.clone()),
            _ => {}
        }
        // Another replica may lag behind the one that was asked before.
        if chat.log_index >= self.last.log_index {
            self.last = chat.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(chat: &api::Chat) -> Visit {
        Visit {
            asked: Asked {
                queue: "general".into(),
                languages: vec!["en".into()],
            },
            region: "eu".into(),
            weight: 1,
            talk_ms: 1,
            came_ms: 0,
            first: chat.clone(),
            last: chat.clone(),
            closed: None,
            felt_wait_ms: None,
            left_ms: None,
            oddities: Vec::new(),
        }
    }

    fn chat(log_index: u64, phase: api::ChatPhase) -> api::Chat {
        api::Chat {
            phase: phase.into(),
            log_index,
            arrived_ms: 5,
            ..Default::default()
        }
    }

    #[test]
    fn a_lagging_replica_is_no_return_from_the_dead() {
        let mut seen = visit(&chat(1, api::ChatPhase::Waiting));
        seen.seen(&chat(9, api::ChatPhase::Closed));
        seen.seen(&chat(7, api::ChatPhase::Active));
        assert_eq!((seen.last.log_index, seen.oddities.len()), (9, 0));
        seen.seen(&chat(11, api::ChatPhase::Waiting));
        assert_eq!(
            seen.oddities,
            ["was told closed at log index 9, and waiting at 11"]
        );
    }

    #[test]
    fn another_arrival_is_told_once() {
        let mut seen = visit(&chat(1, api::ChatPhase::Waiting));
        for index in [2, 3] {
            let mut moved = chat(index, api::ChatPhase::Waiting);
            moved.arrived_ms = 6;
            seen.seen(&moved);
        }
        assert_eq!(
            seen.oddities,
            ["arrived at 5 when it was taken in, at 6 by log index 2"]
        );
    }

    #[test]
    fn standing_counts_by_region_and_language() {
        let ledger = Ledger::default();
        let mut entries = Entries {
            offered: 3,
            ..Default::default()
        };
        let mut ended = chat(4, api::ChatPhase::Closed);
        ended.closed = api::CloseReason::Answered.into();
        for (id, told) in [
            ("a", chat(2, api::ChatPhase::Offered)),
            ("b", chat(3, api::ChatPhase::WrapUp)),
            ("c", ended),
        ] {
            entries.visits.insert(id.into(), visit(&told));
        }
        *ledger.entries.lock() = entries;
        let standing = ledger.standing();
        let counts = Counts {
            waiting: 1,
            talking: 1,
            answered: 1,
            ..Default::default()
        };
        assert_eq!(standing.regions["eu"], counts);
        assert_eq!(standing.languages, [("en".to_owned(), counts)]);
        assert_eq!(ledger.put_off(), 0);
        let mut entries = ledger.entries();
        let later = visit(&chat(5, api::ChatPhase::Deferred));
        entries.visits.insert("d".into(), later);
        *ledger.entries.lock() = entries;
        assert_eq!(ledger.put_off(), 1);
    }
}
