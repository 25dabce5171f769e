//! Closed at once: an operator closes a queue or a region whatever its hours say, until a time or until it is opened
//! again. Not configuration: applying a file does not undo it.

use crate::chat::unknown;
use crate::effect::{Answer, Reject};
use crate::ids::*;
use crate::index::{Deadline, move_deadline};
use crate::limits::TIME_MAX;
use crate::state::{Key, State};

/// What is closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shut {
    /// New chats of the queue go where it overflows into, or are put off; those that wait do too.
    Queue(QueueId),
    /// Agents of the region are offered nothing; what they have stays with them.
    Region(RegionId),
}

impl std::fmt::Display for Shut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Queue(id) => write!(f, "queue '{id}'"),
            Self::Region(id) => write!(f, "region '{id}'"),
        }
    }
}

/// That it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Until when; [`TIME_MAX`] = until it is opened again.
    pub until: Millis,
    /// Why, for people.
    pub why: String,
    /// Who closed it.
    pub by: String,
}

impl State {
    /// What is closed at once.
    pub fn closures(&self) -> impl Iterator<Item = (&Shut, &Closure)> {
        self.closures.iter()
    }

    pub(crate) fn queue_shut(&self, queue: &QueueId) -> Option<&Closure> {
        let mut shut = self.shut_now();
        let shut = shut.find(|(shut, _)| matches!(shut, Shut::Queue(id) if id == queue));
        shut.map(|(_, closure)| closure)
    }

    pub(crate) fn region_shut(&self, region: &RegionId) -> bool {
        let mut shut = self.shut_now();
        shut.any(|(shut, _)| matches!(shut, Shut::Region(id) if id == region))
    }

    /// Mostly none, so that to ask costs nothing. One whose time has come no longer counts, whichever deadline of that
    /// time fires first.
    fn shut_now(&self) -> impl Iterator<Item = (&Shut, &Closure)> {
        let now = self.meta.now;
        self.closures.iter().filter(move |(_, c)| c.until > now)
    }

    /// Closes or opens; `until` 0 = opens.
    pub(crate) fn shut(
        &mut self,
        what: &Shut,
        until: Millis,
        why: &str,
        by: &str,
    ) -> Result<Answer, Reject> {
        match what {
            Shut::Queue(id) if !self.queues.contains_key(id) => {
                return Err(unknown("queue_id", "queue", id.as_str()));
            }
            Shut::Region(id) if !self.regions.contains_key(id) => {
                return Err(unknown("region_id", "region", id.as_str()));
            }
            _ => {}
        }
        let now = self.meta.now;
        if until != 0 && until <= now {
            return Err(Reject::Invalid {
                field: "until_ms".into(),
                problem: format!("{until} is in the past"),
                fix: format!("give a time after {now}, or none to close until opened again"),
            });
        }
        self.open_again(what);
        if until != 0 {
            let until = until.min(TIME_MAX);
            let closure = Closure {
                until,
                why: why.to_owned(),
                by: by.to_owned(),
            };
            self.closures.insert(what.clone(), closure);
            let due = &mut self.index.deadlines;
            move_deadline(due, None, Some(until), || Deadline::Reopen(what.clone()));
        }
        self.work.dirty.push(Key::Closure(what.clone()));
        self.work.configured = true;
        self.follow_closure(what);
        Ok(Answer::Done)
    }

    /// A closure ends by itself.
    pub(crate) fn reopen(&mut self, what: &Shut) {
        self.open_again(what);
        self.work.configured = true;
        self.follow_closure(what);
    }

    pub(crate) fn open_again(&mut self, what: &Shut) {
        if let Some(closure) = self.closures.remove(what) {
            let (due, before) = (&mut self.index.deadlines, Some(closure.until));
            move_deadline(due, before, None, || Deadline::Reopen(what.clone()));
            self.work.dirty.push(Key::Closure(what.clone()));
        }
    }

    /// Brings chats and agents in line with what is closed now.
    fn follow_closure(&mut self, what: &Shut) {
        match what {
            Shut::Region(region) => {
                let agents = self.agents.values();
                let theirs = agents.filter(|a| a.config.region == *region);
                let ids: Vec<AgentId> = theirs.map(|a| a.config.id.clone()).collect();
                for agent in ids {
                    self.refresh_agent(&agent);
                    self.work.touched.push(agent.clone());
                    if self.region_shut(region) {
                        self.withdraw_offers(&agent, "the region was closed");
                    }
                }
            }
            Shut::Queue(queue) if self.queue_shut(queue).is_some() => {
                let waiting = self.index.order.get(queue);
                let waiting: Vec<ChatId> = waiting
                    .into_iter()
                    .flatten()
                    .map(|(_, id)| id.clone())
                    .collect();
                for chat in waiting {
                    self.line_up(&chat, self.open_place(queue));
                }
            }
            Shut::Queue(_) => self.bring_forward(),
        }
    }
}
