//! In which order chats are served: one number per chat that never changes while it waits, so that the lines stay
//! sorted by themselves and nothing starves.
//!
//! ```text
//! place      = arrived − head start                    Order::Arrival
//!            = arrived + answer target − head start    Order::Deadline
//! head start = points × ageing of the chat's queue (a day where it has none)
//! points     = chat.priority + queue.priority + (queue.vip_priority if the visitor is very important)
//! ```
//!
//! It is "priority + time waited / ageing", solved for the arrival, in milliseconds, so that chats of several queues
//! compare. A chat can only be overtaken by one that arrives less than [`State::overtaking_max`] after it: waiting
//! that long is worth more than any head start.

use crate::ids::*;
use crate::limits::{DAY_MS, PRIORITY_MAX};
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::state::{Chat, State};

impl Queue {
    /// What a point of priority is worth, in ms of waiting.
    fn point(&self) -> Millis {
        Millis::from(if self.ageing_ms == 0 {
            DAY_MS
        } else {
            self.ageing_ms
        })
    }
}

impl State {
    /// A chat's place among all that wait: smaller is served first.
    pub(crate) fn order_of(&self, chat: &Chat) -> i64 {
        let Some(queue) = self.queues.get(&chat.queue) else {
            return chat.arrived;
        };
        let vip = if chat.vip { queue.vip_priority } else { 0 };
        let points = Millis::from(chat.priority + queue.priority + vip);
        let due = match self.workspace.order {
            Order::Arrival if mutants::is(Mutant::NewestFirst) => -chat.arrived,
            Order::Arrival => chat.arrived,
            Order::Deadline => chat.arrived + Millis::from(queue.answer_target_ms),
        };
        due - points * queue.point()
    }

    /// Of any two chats the one that arrived more than this many ms before the other is served first, whatever their
    /// priorities, visitors and queues: the largest head start, and the largest difference of answer targets.
    pub fn overtaking_max(&self) -> Millis {
        let start =
            |q: &Queue| Millis::from(PRIORITY_MAX + q.priority + q.vip_priority) * q.point();
        let head = self.queues.values().map(start).max().unwrap_or(0);
        // The smallest a chat can have: no points of its own.
        let least = |q: &Queue| Millis::from(q.priority) * q.point();
        let least = self.queues.values().map(least).min().unwrap_or(0);
        let targets = self
            .queues
            .values()
            .map(|q| Millis::from(q.answer_target_ms));
        let spread = match self.workspace.order {
            Order::Arrival => 0,
            Order::Deadline => targets.clone().max().unwrap_or(0) - targets.min().unwrap_or(0),
        };
        head - least + spread
    }
}
