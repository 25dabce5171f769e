//! Breaks: a reminder when one is due by the workspace's rule, and none that would leave too few at work.

use crate::effect::Reject;
use crate::ids::*;
use crate::state::{AgentState, State};

impl State {
    /// When an agent is to be reminded of a break; `None` = no rule, not at work, or reminded already.
    pub(crate) fn rest_due(&self, agent: &AgentState) -> Option<Millis> {
        self.break_due(agent).filter(|_| !agent.break_due)
    }

    /// When a break is due for an agent by the workspace's rule; `None` = no rule, or not at work.
    pub fn break_due(&self, agent: &AgentState) -> Option<Millis> {
        let after = Millis::from(self.workspace.break_after_ms);
        let works = agent.working_since != 0 && agent.stopped_at == 0 && !agent.config.bot;
        (after > 0 && works).then(|| agent.working_since + after)
    }

    /// Reminds an agent.
    pub(crate) fn remind(&mut self, id: &AgentId) {
        self.edit_agent(id, |a| a.break_due = true);
    }

    /// An agent goes to work: anew where the time since they stopped was a break, else it did not interrupt.
    pub(crate) fn begin_work(&mut self, id: &AgentId) {
        let (now, rest) = (self.meta.now, Millis::from(self.workspace.break_ms));
        self.edit_agent(id, |a| {
            let rested = a.stopped_at != 0 && now - a.stopped_at >= rest;
            if a.working_since == 0 || rested {
                a.working_since = now;
                a.break_due = false;
            }
            a.stopped_at = 0;
        });
    }

    /// An agent stops working.
    pub(crate) fn stop_work(&mut self, id: &AgentId) {
        let now = self.meta.now;
        self.edit_agent(id, |a| {
            if a.stopped_at == 0 && a.working_since != 0 {
                a.stopped_at = now;
            }
        });
    }

    /// Refuses a break that would leave a queue with fewer at work than it needs; one that is due is never refused.
    pub(crate) fn may_rest(&self, id: &AgentId) -> Result<(), Reject> {
        let Some(agent) = self.agents.get(id) else {
            return Ok(());
        };
        if !self.index.at_work(id) || agent.break_due {
            return Ok(());
        }
        let queues = agent.config.queues.iter();
        let queues = queues.filter_map(|s| self.queues.get(&s.queue));
        let mut needed = queues.filter(|q| q.staff_min > 0 && self.queue_open(q));
        let short = needed.find(|q| self.index.queue_at_work(&q.id) <= q.staff_min as usize);
        match short {
            None => Ok(()),
            Some(queue) => Err(Reject::Conflict(format!(
                "queue '{}' needs {} at work; take the break when another is back",
                queue.id, queue.staff_min
            ))),
        }
    }
}
