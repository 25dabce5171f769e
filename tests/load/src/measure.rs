//! What people felt, as it is measured: lengths of time by act and region, what became of chats, and how it went second
//! by second.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::Arrival;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Status;

pub use crate::people::notes::Act;
use crate::people::notes::{Came, Deed, Notes};

/// Longest time that is told apart, in µs: what took longer counts as so long.
const TOOK_US_MAX: u64 = 3_600_000_000;
/// Significant digits kept of each.
const DIGITS: u8 = 3;
/// Offers seen before the visitor heard of the chat are kept for so long.
const EARLY: Duration = Duration::from_secs(60);
/// Most stories kept of people who came to grief; the others are counted.
const MISHAPS_MAX: usize = 20;

/// Lengths of time in µs.
pub type Lengths = Histogram<u64>;

/// An empty one.
pub fn lengths() -> Lengths {
    // The bounds are constant and in order, so there is always one.
    Histogram::new_with_bounds(1, TOOK_US_MAX, DIGITS).unwrap_or_else(|_| unreachable!())
}

/// What became of those who came, each counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Visitors who came.
    pub came: u64,
    /// Whose chats were taken in.
    pub taken_in: u64,
    /// Whom the cluster turned away, by the code and first words of why.
    pub refused: BTreeMap<String, u64>,
    /// Who got no answer in time.
    pub unknown: u64,
    /// Who saw somebody answer.
    pub answered: u64,
    /// Of them, within the queue's target.
    pub on_time: u64,
    /// Who left before.
    pub abandoned: u64,
    /// Chats put off, or closed otherwise without an answer.
    pub put_off: u64,
    /// Sessions that broke.
    pub sessions_broken: u64,
    /// Simulated people who came to grief.
    pub mishaps: u64,
}

impl Counts {
    /// How many were turned away.
    pub fn turned_away(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.came, other.came),
            (&mut self.taken_in, other.taken_in),
            (&mut self.unknown, other.unknown),
            (&mut self.answered, other.answered),
            (&mut self.on_time, other.on_time),
            (&mut self.abandoned, other.abandoned),
            (&mut self.put_off, other.put_off),
            (&mut self.sessions_broken, other.sessions_broken),
            (&mut self.mishaps, other.mishaps),
        ] {
            *own += others;
        }
        for (why, count) in &other.refused {
            *self.refused.entry(why.clone()).or_default() += count;
        }
    }
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Visitors who came.
    pub came: u64,
    /// Chats taken in.
    pub taken_in: u64,
    /// Visitors turned away, or without an answer in time.
    pub refused: u64,
    /// Chats whose visitors saw an answer.
    pub answered: u64,
    /// Visitors who left before.
    pub abandoned: u64,
    /// Acts acknowledged, of visitors and agents.
    pub acts: u64,
    /// Half of those taken in within it had waited so long for that, in µs.
    pub start_p50_us: u64,
    /// Ninety-nine in a hundred.
    pub start_p99_us: u64,
    /// Ninety-nine in a hundred acceptances.
    pub accept_p99_us: u64,
    /// Chats that wait for an answer, at its end.
    pub waiting: u64,
    /// Chats with an agent.
    pub talking: u64,
    /// Agents with a session.
    pub agents: u64,
}

/// Where things stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// What became of those who came, warm-up included.
    pub counts: Counts,
    /// The last whole second.
    pub second: Second,
    /// Percentiles of being taken in over all, in µs: half, and ninety-nine in a hundred.
    pub start_us: (u64, u64),
}

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What became of those who came after the warm-up.
    pub counts: Counts,
    /// By act and the region of who felt it; agents' by the agent's.
    pub lengths: BTreeMap<(Act, String), Lengths>,
    /// Second by second, from the begin on.
    pub seconds: Vec<Second>,
    /// How much later than meant visitors asked, by no fault of the cluster's.
    pub late: Lengths,
    /// Stories of simulated people who came to grief, the first few.
    pub mishaps: Vec<String>,
}

/// Takes the measure of everybody.
pub struct Measures {
    /// What is felt before is not counted.
    warm: Instant,
    /// How soon each queue is to be answered.
    targets: BTreeMap<String, Duration>,
    /// Where each agent is.
    regions: HashMap<String, String>,
    kept: Mutex<Kept>,
}

struct Kept {
    counts: Counts,
    all: Counts,
    lengths: BTreeMap<(Act, String), Lengths>,
    late: Lengths,
    seconds: Vec<Second>,
    now: Second,
    start: Lengths,
    accept: Lengths,
    started: Lengths,
    chats: HashMap<String, Live>,
    /// How many of them are put off.
    put_off: usize,
    early: HashMap<String, Instant>,
    mishaps: Vec<String>,
}

/// A chat that is not over.
struct Live {
    came: Instant,
    region: String,
    talk_ms: u32,
    offered: bool,
    /// When the agent clicked who has it.
    clicked: Option<Instant>,
    /// When the visitor saw that somebody has answered.
    answered: Option<Instant>,
    /// Whether it is put off to a later time.
    put_off: bool,
}

impl Measures {
    /// Those of a run whose figures count from `warm` on; `targets` by queue, `regions` by agent.
    pub fn new(
        warm: Instant,
        targets: BTreeMap<String, Duration>,
        regions: HashMap<String, String>,
    ) -> Self {
        Self {
            warm,
            targets,
            regions,
            kept: Mutex::new(Kept {
                counts: Counts::default(),
                all: Counts::default(),
                lengths: BTreeMap::new(),
                late: lengths(),
                seconds: Vec::new(),
                now: Second::default(),
                start: lengths(),
                accept: lengths(),
                started: lengths(),
                chats: HashMap::new(),
                put_off: 0,
                early: HashMap::new(),
                mishaps: Vec::new(),
            }),
        }
    }

    /// A second is over. To be called once in each.
    pub fn tick(&self) {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let waiting = kept.chats.values().filter(|c| c.answered.is_none()).count() as u64;
        let next = Second {
            agents: kept.now.agents,
            ..Second::default()
        };
        let mut over = std::mem::replace(&mut kept.now, next);
        over.waiting = waiting;
        over.talking = kept.chats.len() as u64 - waiting;
        over.start_p50_us = kept.start.value_at_quantile(0.5);
        over.start_p99_us = kept.start.value_at_quantile(0.99);
        over.accept_p99_us = kept.accept.value_at_quantile(0.99);
        kept.start.reset();
        kept.accept.reset();
        kept.seconds.push(over);
        kept.early.retain(|_, seen| seen.elapsed() < EARLY);
    }

    /// Where things stand.
    pub fn standing(&self) -> Standing {
        let kept = self.kept.lock();
        let at = |quantile| kept.started.value_at_quantile(quantile);
        Standing {
            counts: kept.all.clone(),
            second: kept.seconds.last().copied().unwrap_or_default(),
            start_us: (at(0.5), at(0.99)),
        }
    }

    /// Chats that are put off to a later time, whose visitors need not be waited for.
    pub fn put_off(&self) -> usize {
        self.kept.lock().put_off
    }

    /// All that was measured. Chats that nobody has answered by now count as put off.
    pub fn measured(&self) -> Measured {
        let kept = self.kept.lock();
        let left = |live: &&Live| live.answered.is_none() && live.came >= self.warm;
        let mut counts = kept.counts.clone();
        counts.put_off += kept.chats.values().filter(left).count() as u64;
        Measured {
            counts,
            lengths: kept.lengths.clone(),
            seconds: kept.seconds.clone(),
            late: kept.late.clone(),
            mishaps: kept.mishaps.clone(),
        }
    }

    /// Counts for the whole, and for the figures if whoever it concerns came after the warm-up.
    fn count(&self, kept: &mut Kept, came: Instant, count: impl Fn(&mut Counts)) {
        count(&mut kept.all);
        if came >= self.warm {
            count(&mut kept.counts);
        }
    }

    fn took(&self, kept: &mut Kept, act: Act, region: &str, meant: Instant, took: Duration) {
        if meant < self.warm {
            return;
        }
        let lengths = kept.lengths.entry((act, region.to_owned()));
        lengths
            .or_insert_with(self::lengths)
            .saturating_record(us(took));
    }
}

fn us(took: Duration) -> u64 {
    took.as_micros().try_into().unwrap_or(TOOK_US_MAX).max(1)
}

/// A refusal by its code and what it is about, without what names one chat or time.
fn reason(status: &Status) -> String {
    let words = status.message().split(['\'', ':', ';', ',']).next();
    let words = words.unwrap_or_default().trim();
    format!("{:?}: {words}", status.code())
}

impl Notes for Measures {
    fn came(&self, _visitor: &Arrival, came: Came) {
        let mut kept = self.kept.lock();
        self.count(&mut kept, came.at, |counts| counts.came += 1);
        kept.now.came += 1;
        if came.at >= self.warm {
            kept.late.saturating_record(us(came.at.elapsed()));
        }
    }

    fn taken_in(&self, visitor: &Arrival, came: Came, chat: &api::Chat) {
        let took = came.at.elapsed();
        let region = visitor.region.as_str();
        let mut kept = self.kept.lock();
        self.count(&mut kept, came.at, |counts| counts.taken_in += 1);
        kept.now.taken_in += 1;
        kept.now.acts += 1;
        kept.start.saturating_record(us(took));
        kept.started.saturating_record(us(took));
        self.took(&mut kept, Act::Start, region, came.at, took);
        let early = kept.early.remove(&chat.chat_id);
        if let Some(seen) = early {
            let took = seen.saturating_duration_since(came.at);
            self.took(&mut kept, Act::Offer, region, came.at, took);
        }
        let live = Live {
            came: came.at,
            region: region.to_owned(),
            talk_ms: visitor.talk_ms,
            offered: early.is_some(),
            clicked: None,
            answered: None,
            put_off: false,
        };
        kept.chats.insert(chat.chat_id.clone(), live);
    }

    fn refused(&self, _visitor: &Arrival, came: Came, why: &Status) {
        let mut kept = self.kept.lock();
        let why = reason(why);
        self.count(&mut kept, came.at, |counts| {
            *counts.refused.entry(why.clone()).or_default() += 1;
        });
        kept.now.refused += 1;
    }

    fn unknown(&self, _visitor: &Arrival, came: Came) {
        let mut kept = self.kept.lock();
        self.count(&mut kept, came.at, |counts| counts.unknown += 1);
        kept.now.refused += 1;
    }

    fn answer_seen(&self, visitor: &Arrival, came: Came, chat: &str) {
        let took = came.at.elapsed();
        let on_time = self.targets.get(&visitor.queue).is_none_or(|t| took <= *t);
        let region = visitor.region.as_str();
        let mut kept = self.kept.lock();
        self.count(&mut kept, came.at, |counts| {
            counts.answered += 1;
            counts.on_time += u64::from(on_time);
        });
        kept.now.answered += 1;
        self.took(&mut kept, Act::Answer, region, came.at, took);
        let now = Instant::now();
        let live = kept.chats.get_mut(chat);
        let clicked = live.and_then(|live| {
            live.answered = Some(now);
            live.clicked
        });
        if let Some(clicked) = clicked {
            let took = now.saturating_duration_since(clicked);
            self.took(&mut kept, Act::Notice, region, clicked, took);
        }
    }

    fn over(&self, _visitor: &Arrival, came: Came, chat: &api::Chat) {
        let mut kept = self.kept.lock();
        let Some(live) = kept.chats.remove(&chat.chat_id) else {
            return;
        };
        kept.put_off -= usize::from(live.put_off);
        match chat.closed() {
            _ if live.answered.is_some() => {}
            // Answered and ended between two words of the watch.
            api::CloseReason::Answered => {
                self.count(&mut kept, came.at, |counts| counts.answered += 1);
            }
            api::CloseReason::Abandoned => {
                self.count(&mut kept, came.at, |counts| counts.abandoned += 1);
                kept.now.abandoned += 1;
            }
            _ => self.count(&mut kept, came.at, |counts| counts.put_off += 1),
        }
    }

    fn seen(&self, chat: &api::Chat) {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        if let Some(live) = kept.chats.get_mut(&chat.chat_id) {
            let before = live.put_off;
            live.put_off = chat.phase() == api::ChatPhase::Deferred;
            kept.put_off = kept.put_off + usize::from(live.put_off) - usize::from(before);
        }
    }

    fn done(&self, deed: Deed, took: Duration) {
        // Being taken in is measured where the chat is known.
        if deed.act == Act::Start {
            return;
        }
        let now = Instant::now();
        let meant = now.checked_sub(took).unwrap_or(now);
        let mut kept = self.kept.lock();
        kept.now.acts += 1;
        if deed.act == Act::Accept {
            kept.accept.saturating_record(us(took));
            // The visitor may have seen it before the agent was told.
            let live = kept.chats.get_mut(&deed.chat);
            let seen = live.and_then(|live| {
                live.clicked = Some(meant);
                live.answered.map(|seen| (seen, live.region.clone()))
            });
            if let Some((seen, region)) = seen {
                let took = seen.saturating_duration_since(meant);
                self.took(&mut kept, Act::Notice, &region, meant, took);
            }
        }
        let region = self.regions.get(&deed.agent).unwrap_or(&deed.region);
        self.took(&mut kept, deed.act, region, meant, took);
    }

    fn offered(&self, chat: &api::Chat) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        match kept.chats.get_mut(&chat.chat_id) {
            None => {
                kept.early.entry(chat.chat_id.clone()).or_insert(now);
            }
            Some(live) if live.offered => {}
            Some(live) => {
                live.offered = true;
                let (came, region) = (live.came, live.region.clone());
                self.took(&mut kept, Act::Offer, &region, came, now - came);
            }
        }
    }

    fn signed_on(&self, agent: &str, took: Duration) {
        let mut kept = self.kept.lock();
        kept.now.agents += 1;
        let region = self.regions.get(agent).cloned().unwrap_or_default();
        // Most sign on before anything else happens, so these are counted from the first on.
        self.took(&mut kept, Act::SignOn, &region, self.warm, took);
    }

    fn signed_off(&self, _agent: &str, broken: bool) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        kept.now.agents = kept.now.agents.saturating_sub(1);
        if broken {
            self.count(&mut kept, now, |counts| counts.sessions_broken += 1);
        }
    }

    fn mishap(&self, what: String) {
        let mut kept = self.kept.lock();
        self.count(&mut kept, Instant::now(), |counts| counts.mishaps += 1);
        if kept.mishaps.len() < MISHAPS_MAX {
            kept.mishaps.push(what);
        }
    }

    fn talk_ms(&self, chat: &str) -> Option<u32> {
        self.kept.lock().chats.get(chat).map(|live| live.talk_ms)
    }
}
