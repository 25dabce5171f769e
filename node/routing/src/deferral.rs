//! Where a chat may wait, how long, and what becomes of one that nobody takes: outside opening hours or after
//! the longest wait it is put off to a stated time, and keeps its place.

use crate::effect::Reject;
use crate::explain::{Event, What};
use crate::ids::*;
use crate::index::LineRows;
use crate::limits::*;
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::state::{Chat, State};

/// When a chat that cannot be served now comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// At an opening or at the start of a shift.
    At(Millis),
    /// Somebody who could serve it is at work, but busy or away.
    Busy,
    /// Nobody who could serve it is known to begin.
    Unknown,
}

impl State {
    /// The queue itself where it is open; where it is closed, the nearest open one it overflows into, without
    /// what is asked for that in opening hours.
    pub(crate) fn open_queue<'a>(&'a self, queue: &'a Queue) -> Option<&'a Queue> {
        if self.queue_open(queue) {
            return Some(queue);
        }
        let reach = self.reach(queue);
        let queues = reach.iter().filter_map(|r| self.queues.get(&r.queue));
        queues.into_iter().find(|q| self.queue_open(q))
    }

    /// When a closed queue opens, or one it overflows into, whichever is first.
    pub(crate) fn next_opening(&self, queue: &Queue) -> Option<Millis> {
        let reach = self.reach(queue);
        let queues = reach.iter().filter_map(|r| self.queues.get(&r.queue));
        queues.filter_map(|q| self.opens(q)).min()
    }

    /// When a queue that is closed opens, by its hours and by what closed it at once.
    fn opens(&self, queue: &Queue) -> Option<Millis> {
        let now = self.meta.now;
        let shut = self.queue_shut(&queue.id).map(|c| c.until);
        if shut == Some(TIME_MAX) {
            return None;
        }
        let schedule = queue.schedule.as_ref().map(|s| self.schedules.get(s));
        match (schedule, shut) {
            (None, at) => at,
            (Some(None), _) => None,
            (Some(Some(s)), Some(at)) if s.contains(at) => Some(at),
            (Some(Some(s)), at) => s.next_start(at.unwrap_or(now)),
        }
    }

    /// The place where chats of a queue wait now, as by [`Self::open_queue`].
    pub(crate) fn open_place(&self, queue: &QueueId) -> Option<QueueId> {
        let open = self.queues.get(queue).and_then(|q| self.open_queue(q));
        open.map(|q| q.id.clone())
    }

    /// A chat is to wait again: it keeps its place by its arrival, while steps and the longest wait count anew. Who had
    /// it is told so by the caller, who then lets it line up.
    pub(crate) fn wait_again(&mut self, id: &ChatId, event: Event, change: impl FnOnce(&mut Chat)) {
        let now = self.meta.now;
        self.edit_chat(id, |c| {
            c.phase = Phase::Waiting;
            c.since = now;
            if mutants::is(Mutant::ArrivalLost) {
                c.arrived = now;
            }
            change(c);
            c.tell(event);
        });
    }

    /// Lets a chat wait in the queue found by [`Self::open_queue`], or puts it off where there is none.
    pub(crate) fn line_up(&mut self, id: &ChatId, place: Option<QueueId>) {
        let Some(queue) = place else {
            self.edit_chat(id, |_| {});
            return self.defer(id, PutOff::Closed);
        };
        let mut moved = self.event(What::Overflowed, None, "");
        self.edit_chat(id, |c| {
            if c.queue != queue {
                moved.detail = format!("queue '{}' is closed, goes to '{queue}'", c.queue);
                c.queue = queue;
                c.tell(moved);
            }
        });
    }

    /// A chat that nobody in reach could ever carry is refused at once. Where nobody serves the queue yet,
    /// anything may wait.
    pub(crate) fn check_weight(
        &self,
        queue: &Queue,
        weight: u32,
        interrupting: bool,
    ) -> Result<(), Reject> {
        // Whoever works at all carries one unit.
        if weight <= 1 {
            return Ok(());
        }
        let reach = self.reach(queue);
        let benches = reach
            .iter()
            .filter_map(|r| self.index.queue_benches.get(&r.queue));
        let benches = benches.flatten().map(|(_, b)| &self.index.benches[*b]);
        let most = benches
            .filter(|b| !b.members.is_empty())
            .map(|b| b.key.room(interrupting))
            .max();
        match most {
            Some(most) if weight > most => Err(Reject::Invalid {
                field: "weight".into(),
                problem: format!("{weight} is more than any agent in reach of the queue carries"),
                fix: format!("give 1 to {most}"),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses one more chat where the queue's line is full, those put off included.
    pub(crate) fn check_full(&self, queue: &Queue) -> Result<(), Reject> {
        let counts = self.queue_counts(&queue.id);
        if counts.waiting + counts.deferred < queue.waiting_max {
            return Ok(());
        }
        Err(Reject::Full {
            field: format!("queues[{}].waiting_max", queue.id),
            limit: queue.waiting_max.into(),
            retry_ms: queue.offer_timeout_ms,
        })
    }

    /// The longest wait is over: whoever can take the chat now still gets it, else it is put off.
    pub(crate) fn waited_enough(&mut self, id: &ChatId) {
        self.settle();
        if self.chats[id].phase == Phase::Waiting {
            self.defer(id, PutOff::Waited);
        }
    }

    /// What happened to a chat that nobody took, with who was weighed.
    pub(crate) fn unserved(&self, id: &ChatId, what: What, detail: &str) -> Event {
        let seeker = self.seeker(id);
        let candidates = seeker.map(|s| self.weighed(&s, None, &self.sun_order()));
        Event {
            candidates: candidates.unwrap_or_default(),
            ..self.event(what, None, detail)
        }
    }

    /// Puts a chat off to the time it can be served again, or lets it expire.
    pub(crate) fn defer(&mut self, id: &ChatId, why: PutOff) {
        let detail = why.words();
        if self.chats[id].assist.is_some() {
            return self.part(id, "nobody came in time");
        }
        let chat = &self.chats[id];
        if self.meta.now - chat.arrived > CHAT_AGE_MS_MAX {
            let event = self.unserved(id, What::Expired, detail);
            self.edit_chat(id, |c| c.tell(event));
            self.meta.totals.expired += 1;
            return self.close(id, Closed::Expired);
        }
        let times = Millis::from((chat.deferrals + 1).min(DEFER_BUSY_TIMES_MAX));
        let due = match self.due(id) {
            Return::At(at) => at,
            Return::Busy => self.meta.now + DEFER_BUSY_MS * times,
            Return::Unknown => self.meta.now + DEFER_UNKNOWN_MS,
        };
        let event = self.unserved(id, What::Deferred, detail);
        self.edit_chat(id, |c| {
            c.phase = Phase::Deferred { due, why };
            c.deferrals += 1;
            c.refusals.clear();
            c.tell(event);
        });
        self.meta.totals.deferrals += 1;
    }

    /// When a chat that cannot be served now comes back: at the next opening of its queue; where it is open,
    /// at the next start of a shift of somebody who could serve it at the queue's last step.
    fn due(&mut self, id: &ChatId) -> Return {
        let Some(queue) = self.queues.get(&self.chats[id].queue) else {
            return Return::Unknown;
        };
        if self.open_queue(queue).is_none() {
            let next = self.next_opening(queue);
            return next.map_or(Return::Unknown, Return::At);
        }
        let Some((line, _)) = self.index.line_of(id) else {
            return Return::Busy;
        };
        if let Some(known) = self.work.due.get(&line) {
            return *known;
        }
        let next = self.next_shift(&self.index.lines[line]);
        self.work.due.insert(line, next);
        next
    }

    /// The next start of a shift of somebody who could serve a line at its last stage.
    pub(crate) fn next_shift(&self, rows: &LineRows) -> Return {
        let now = self.meta.now;
        let benches = rows.fits.last().into_iter().flatten().map(|r| r.bench);
        let schedules = benches.flat_map(|b| self.index.benches[b].schedules.keys());
        let mut next = Return::Unknown;
        for schedule in schedules {
            let schedule = schedule.as_ref().map(|id| self.schedules.get(id));
            let start = match schedule {
                // Who follows no schedule may come at any time.
                None => None,
                Some(None) => continue,
                Some(Some(s)) if s.contains(now) => None,
                Some(Some(s)) => match s.next_start(now) {
                    Some(at) => Some(at),
                    None => continue,
                },
            };
            next = match (next, start) {
                (_, None) => return Return::Busy,
                (Return::At(before), Some(at)) => Return::At(before.min(at)),
                (_, Some(at)) => Return::At(at),
            };
        }
        next
    }

    /// A deferred chat comes back to the line with its arrival time; relaxation starts anew.
    pub(crate) fn return_to_line(&mut self, id: &ChatId) {
        let Some(place) = self.open_place(&self.chats[id].queue) else {
            return self.defer(id, PutOff::Closed);
        };
        let event = self.event(What::Returned, None, "");
        let now = self.meta.now;
        self.wait_again(id, event, |c| {
            // Whoever was sent away until now gets the time to come back.
            if let Page::Gone(until) = &mut c.page {
                *until = now + Millis::from(c.lease_ms);
            }
        });
        self.line_up(id, Some(place));
    }

    /// After a change of queues or schedules a chat put off may be due sooner.
    pub(crate) fn bring_forward(&mut self) {
        let now = self.meta.now;
        let deferred = self.chats.values().filter_map(|c| match c.phase {
            Phase::Deferred { due, why } => Some((c, due, why)),
            _ => None,
        });
        let mut sooner = Vec::new();
        for (chat, due, why) in deferred {
            let Some(queue) = self.queues.get(&chat.queue) else {
                continue;
            };
            // Called back when the visitor asked for it.
            if chat.call_back > now {
                continue;
            }
            let next = match self.open_queue(queue) {
                Some(_) if why == PutOff::Closed => now,
                Some(_) => continue,
                None => match self.next_opening(queue) {
                    Some(at) => at,
                    None => continue,
                },
            };
            if next < due {
                sooner.push((chat.id.clone(), Phase::Deferred { due: next, why }));
            }
        }
        for (id, phase) in sooner {
            self.edit_chat(&id, |c| c.phase = phase);
        }
    }
}
