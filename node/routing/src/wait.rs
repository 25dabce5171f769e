//! What a visitor may expect: whether somebody could take the chat now, how long it would wait, when it opens.
//!
//! Expected wait of the chat at place `n` of a queue, by Little's law: of the queue's chats `busy` are with agents,
//! each for `handle` on average (of the last half hour), so one ends every `handle / busy`, and the n-th place comes
//! up after
//!
//! ```text
//! wait  = n × handle / busy
//! range = wait ± wait / √n
//! ```
//!
//! The range is one standard deviation of the n-th end of a Poisson process (the Erlang distribution). What came of
//! the waits told at arrival is counted beside the service of the queue ([`crate::service::Minute::error_ms`]).

use crate::command::NewChat;
use crate::deferral::Return;
use crate::effect::Reject;
use crate::ids::*;
use crate::matching::Found;
use crate::state::{Chat, State};

/// How long a chat is expected to wait, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The mean.
    pub mean: u32,
    /// A standard deviation less.
    pub low: u32,
    /// A standard deviation more.
    pub high: u32,
}

/// How a new chat would fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// In a word.
    pub chance: Chance,
    /// The place it would have in line, from 1; 0 where it would not wait.
    pub place: u32,
    /// How long it would wait; `None` = nothing is known, or it would not wait.
    pub wait: Option<Wait>,
    /// When its queue opens, or when the next who could take it begins; `None` = not known, or no need to ask.
    pub opens: Option<Millis>,
}

/// Whether a new chat would be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chance {
    /// Somebody could take it at once.
    Open,
    /// It would wait for somebody who is at work.
    Busy,
    /// It would wait, and nobody who could take it is at work.
    Unstaffed,
    /// As many wait as the queue lets; it would be refused.
    Full,
    /// Its queue is closed; it would be put off until it opens.
    Closed,
}

impl State {
    /// How long the chat at a place of a queue's line, from 1, is expected to wait from now on; `None` where nothing
    /// is known: no chat of the queue ended in the last half hour, or none is with an agent.
    pub fn expected_wait(&self, queue: &QueueId, place: u32) -> Option<Wait> {
        let service = self.service(queue);
        let counts = self.queue_counts(queue);
        let busy = u64::from(counts.offered + counts.active + counts.wrap_up);
        if service.handled == 0 || busy == 0 || place == 0 {
            return None;
        }
        let handle = service.handle_ms / u64::from(service.handled);
        let mean = u64::from(place) * handle / busy;
        let spread = mean * 1_000 / (u64::from(place) * 1_000_000).isqrt();
        let bounded = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Some(Wait {
            mean: bounded(mean),
            low: bounded(mean.saturating_sub(spread)),
            high: bounded(mean + spread),
        })
    }

    /// How a new chat would fare now. Changes nothing.
    ///
    /// # Errors
    /// As starting it would be refused, but for a full queue.
    pub fn outlook(&self, new: &NewChat) -> Result<Outlook, Reject> {
        let (chat, place) = self.admit(new)?;
        let none = |chance| Outlook {
            chance,
            place: 0,
            wait: None,
            opens: None,
        };
        let Some(place) = place else {
            let queue = self.queues.get(&chat.queue);
            return Ok(Outlook {
                opens: queue.and_then(|q| self.next_opening(q)),
                ..none(Chance::Closed)
            });
        };
        let chat = Chat {
            queue: place,
            ..chat
        };
        if let Some(Err(_)) = self.queues.get(&chat.queue).map(|q| self.check_full(q)) {
            return Ok(none(Chance::Full));
        }
        let rows = self.line_rows(self.line_key(&chat));
        let seeker = self.seeker_of(&chat, &rows, 0);
        if let Found::Best(_) = self.best_for(&seeker, &self.sun_order(), &[]) {
            return Ok(none(Chance::Open));
        }
        let order = self.index.order.get(&chat.queue);
        let place = order.map_or(0, |o| o.rank(&(self.order_of(&chat), chat.id.clone())));
        let place = place as u32 + 1;
        let mut staffed = rows.fits.iter().flatten();
        if staffed.any(|r| self.index.benches[r.bench].at_work > 0) {
            return Ok(Outlook {
                chance: Chance::Busy,
                place,
                wait: self.expected_wait(&chat.queue, place),
                opens: None,
            });
        }
        let opens = match self.next_shift(&rows) {
            Return::At(at) => Some(at),
            Return::Busy | Return::Unknown => None,
        };
        Ok(Outlook {
            chance: Chance::Unstaffed,
            place,
            wait: None,
            opens,
        })
    }
}
