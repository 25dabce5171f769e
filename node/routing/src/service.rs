//! How a queue has served of late: what became of its chats, minute by minute, over the last
//! [`SERVICE_MINUTES`]; the service level and the expected wait follow from it.

use crate::ids::*;
use crate::index::{Deadline, move_deadline};
use crate::limits::SERVICE_MINUTES;
use crate::model::*;
use crate::state::{Key, State};

/// What became of a queue's chats of late; only minutes in which something did, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The minutes.
    pub minutes: Vec<Minute>,
    /// Where a weighted queue stands: the pass of the agent it chose last. Whoever comes back from an absence goes on
    /// from here, so that they need not make up for it.
    pub pass: u64,
}

/// What became of a queue's chats in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Minutes since 1970.
    pub minute: i64,
    /// Chats taken in.
    pub accepted: u32,
    /// Chats answered for the first time.
    pub answered: u32,
    /// Of those, within the answer target.
    pub in_target: u32,
    /// Chats whose visitor left before an answer.
    pub abandoned: u32,
    /// Wait of the answered ones, in ms.
    pub wait_ms: u64,
    /// Chats brought to their end.
    pub handled: u32,
    /// Time those took from the answer to the end of wrap-up, in ms.
    pub handle_ms: u64,
    /// Of the answered ones, those that were told a wait.
    pub estimated: u32,
    /// How far those waits were from what was told, in ms.
    pub error_ms: u64,
}

const MINUTE_MS: Millis = 60_000;

impl QueueStats {
    /// The sum over the minutes that still count at `now`; its `minute` is 0.
    pub fn of_late(&self, now: Millis) -> Minute {
        let from = first_minute(now);
        let counted = self.minutes.iter().filter(|m| m.minute >= from);
        counted.fold(Minute::default(), |sum, m| Minute {
            minute: 0,
            accepted: sum.accepted + m.accepted,
            answered: sum.answered + m.answered,
            in_target: sum.in_target + m.in_target,
            abandoned: sum.abandoned + m.abandoned,
            wait_ms: sum.wait_ms + m.wait_ms,
            handled: sum.handled + m.handled,
            handle_ms: sum.handle_ms + m.handle_ms,
            estimated: sum.estimated + m.estimated,
            error_ms: sum.error_ms + m.error_ms,
        })
    }

    /// When the oldest minute stops counting.
    pub(crate) fn next_slide(&self) -> Option<Millis> {
        let oldest = self.minutes.first()?;
        Some((oldest.minute + SERVICE_MINUTES) * MINUTE_MS)
    }
}

impl Minute {
    /// Percent of chats answered within the target, of those answered or abandoned; `None` where there are none.
    /// Who left before an answer counts as not served: the strictest of the usual definitions.
    pub fn service_level(&self) -> Option<u32> {
        let offered = self.answered + self.abandoned;
        (offered > 0).then(|| (u64::from(self.in_target) * 100 / u64::from(offered)) as u32)
    }
}

fn first_minute(now: Millis) -> i64 {
    now.div_euclid(MINUTE_MS) - SERVICE_MINUTES + 1
}

impl State {
    /// What became of a queue's chats within the last [`SERVICE_MINUTES`], as the rules see it.
    pub fn service(&self, queue: &QueueId) -> Minute {
        self.service_at(queue, self.meta.now)
    }

    /// The same as of `now`, which may be later than the last command, for whoever looks on.
    pub fn service_at(&self, queue: &QueueId, now: Millis) -> Minute {
        let stats = self.stats.get(queue);
        stats.map_or(Minute::default(), |s| s.of_late(now.max(self.meta.now)))
    }

    /// Counts something that happened to a queue's chats.
    fn count(&mut self, queue: &QueueId, what: impl FnOnce(&mut Minute)) {
        if !self.queues.contains_key(queue) {
            return;
        }
        let now = self.meta.now;
        let (minute, from) = (now.div_euclid(MINUTE_MS), first_minute(now));
        let stats = self.stats.entry(queue.clone()).or_default();
        stats.minutes.retain(|m| m.minute >= from);
        match stats.minutes.last_mut().filter(|m| m.minute == minute) {
            Some(last) => what(last),
            None => {
                let mut last = Minute {
                    minute,
                    ..Minute::default()
                };
                what(&mut last);
                stats.minutes.push(last);
            }
        }
        self.work.dirty.push(Key::Stats(queue.clone()));
        self.refresh_slide(queue);
        self.look_again(queue);
    }

    /// Keeps the time at which a queue's service is looked at again, where something hangs on it.
    pub(crate) fn refresh_slide(&mut self, queue: &QueueId) {
        let hangs = |q: &Queue| q.overflow.iter().any(|o| o.service_level_below > 0);
        let watched = self.queues.get(queue).is_some_and(hangs);
        let stats = self.stats.get(queue).filter(|_| watched);
        let next = stats.and_then(QueueStats::next_slide);
        let before = match next {
            Some(at) => self.index.slides.insert(queue.clone(), at),
            None => self.index.slides.remove(queue),
        };
        let due = &mut self.index.deadlines;
        move_deadline(due, before, next, || Deadline::Slide(queue.clone()));
    }

    /// The oldest minute of a queue stops counting.
    pub(crate) fn slide(&mut self, queue: &QueueId) {
        let from = first_minute(self.meta.now);
        let Some(stats) = self.stats.get_mut(queue) else {
            return;
        };
        stats.minutes.retain(|m| m.minute >= from);
        self.work.dirty.push(Key::Stats(queue.clone()));
        self.refresh_slide(queue);
        self.look_again(queue);
    }

    pub(crate) fn count_accepted(&mut self, queue: &QueueId) {
        self.count(queue, |m| m.accepted += 1);
    }

    pub(crate) fn count_abandoned(&mut self, queue: &QueueId) {
        self.count(queue, |m| m.abandoned += 1);
    }

    /// A chat is answered for the first time, now.
    pub(crate) fn count_answered(&mut self, id: &ChatId) {
        let chat = &self.chats[id];
        let Some(queue) = self.queues.get(&chat.queue) else {
            return;
        };
        let waited = self.meta.now - chat.arrived;
        let in_target = waited <= Millis::from(queue.answer_target_ms);
        // One put off was told another time.
        let estimate = chat.estimate_ms.filter(|_| chat.deferrals == 0);
        let error = estimate.map(|told| (Millis::from(told) - waited).unsigned_abs());
        self.count(&chat.queue.clone(), |m| {
            m.answered += 1;
            m.in_target += u32::from(in_target);
            m.wait_ms += waited.unsigned_abs();
            if let Some(error) = error {
                m.estimated += 1;
                m.error_ms += error;
            }
        });
    }

    pub(crate) fn count_handled(&mut self, queue: &QueueId, took: Millis) {
        self.count(queue, |m| {
            m.handled += 1;
            m.handle_ms += took.unsigned_abs();
        });
    }
}
