//! What a queue's policy comes to as a chat waits: at each time who is let in, by what way, and which queues are in
//! reach; and whether a way that hangs on the moment is open just now.

use crate::fit::{Entry, Gate, HeldFor, Line, Only, Reach, Stage, Way};
use crate::ids::*;
use crate::index::LineRows;
use crate::limits::{OVERFLOW_HOPS_MAX, REACH_MAX};
use crate::model::*;
use crate::state::State;

impl State {
    /// Every stage of a line's chats, first to last; times of steps, holds and overflow merged.
    pub(crate) fn stages(&self, line: &Line) -> Vec<Stage> {
        let Some(queue) = self.queues.get(&line.queue) else {
            return Vec::new();
        };
        let reach = self.reach(queue);
        let holds = match &line.held {
            None => Vec::new(),
            Some(HeldFor::Agent(agent)) => self.holds(queue, agent),
            Some(HeldFor::Region(to)) => {
                let only = Only::Region(to.region.clone());
                vec![(only, Millis::from(to.hold_ms))]
            }
        };
        let mut times: Vec<Millis> = queue
            .steps
            .iter()
            .map(|s| Millis::from(s.after_ms))
            .collect();
        times.extend(reach.iter().map(|r| r.after));
        times.extend(holds.iter().map(|(_, until)| *until));
        times.sort_unstable();
        times.dedup();
        let stage = |after| Stage {
            after,
            ways: ways(queue, &holds, after),
            reach: reach.iter().filter(|r| r.after <= after).cloned().collect(),
        };
        times.into_iter().map(stage).collect()
    }

    /// Whom chats are held for, and until what waiting time.
    fn holds(&self, queue: &Queue, agent: &AgentId) -> Vec<(Only, Millis)> {
        let mut holds = Vec::new();
        let mut until = Millis::from(queue.hold_agent_ms);
        if until > 0 {
            holds.push((Only::Agent(agent.clone()), until));
        }
        let team = self.agents.get(agent).map(|a| a.config.team.clone());
        if let Some(team) = team.filter(|t| queue.hold_team_ms > 0 && !t.is_empty()) {
            until += Millis::from(queue.hold_team_ms);
            holds.push((Only::Team(team), until));
        }
        holds
    }

    /// The queues whose agents may take a queue's chats sooner or later: itself, and those it overflows into.
    pub fn reached(&self, queue: &Queue) -> Vec<QueueId> {
        self.reach(queue).into_iter().map(|r| r.queue).collect()
    }

    /// The queues in reach, nearest first: the queue itself, then those it overflows into, by every path.
    pub(crate) fn reach(&self, queue: &Queue) -> Vec<Reach> {
        let mut reach = vec![Reach {
            queue: queue.id.clone(),
            hops: 0,
            after: 0,
            gates: Vec::new(),
        }];
        let mut next = 0;
        while let Some(from) = reach.get(next).cloned() {
            next += 1;
            let Some(at) = self.queues.get(&from.queue) else {
                continue;
            };
            if usize::from(from.hops) >= OVERFLOW_HOPS_MAX {
                continue;
            }
            for overflow in &at.overflow {
                if reach.len() >= REACH_MAX {
                    return reach;
                }
                let mut gates = from.gates.clone();
                let gate = Gate {
                    queue: at.id.clone(),
                    waiting_min: overflow.waiting_min,
                    no_agent: overflow.no_agent,
                    service_level_below: overflow.service_level_below,
                };
                if gate.shuts() && !gates.contains(&gate) {
                    gates.push(gate);
                }
                reach.push(Reach {
                    queue: overflow.queue.clone(),
                    hops: from.hops + 1,
                    after: from.after + Millis::from(overflow.after_ms),
                    gates,
                });
            }
        }
        reach
    }

    /// What of a stage hangs on the moment.
    pub(crate) fn gates(&self, rows: &LineRows, stage: usize) -> Gates {
        let at = &rows.stages[stage];
        let mut shut = 0;
        for (n, reach) in at.reach.iter().enumerate() {
            let open = reach.gates.iter().all(|g| self.gate_open(g));
            shut |= u64::from(!open) << n;
        }
        // The first way by which anybody at work is let in, so that no later one counts.
        let last = at.ways.len() as u16 - 1;
        let way = (0..last).find(|way| self.anybody(rows, stage, *way, shut));
        Gates {
            shut,
            way: way.unwrap_or(last),
        }
    }

    /// Whether anybody let in by a way is at work, free or not.
    fn anybody(&self, rows: &LineRows, stage: usize, way: u16, shut: u64) -> bool {
        let of_way = rows.fits[stage].iter().filter(|r| r.entry.fit.way == way);
        let mut open = of_way.filter(|r| shut & (1 << r.entry.reach) == 0);
        match &rows.stages[stage].ways[usize::from(way)].only {
            Only::Agent(agent) => open.next().is_some() && self.index.at_work(agent),
            _ => open.any(|r| self.index.benches[r.bench].at_work > 0),
        }
    }

    /// Whether chats of a queue overflow just now.
    pub(crate) fn gate_open(&self, gate: &Gate) -> bool {
        let level = |below: u32| {
            let level = self.service(&gate.queue).service_level();
            level.is_some_and(|level| level < below)
        };
        (gate.waiting_min == 0 || self.queue_counts(&gate.queue).waiting >= gate.waiting_min)
            && (!gate.no_agent || self.index.queue_at_work(&gate.queue) == 0)
            && (gate.service_level_below == 0 || level(gate.service_level_below))
    }

    /// Looks again at the lines that wait for something to happen in a queue.
    pub(crate) fn look_again(&mut self, queue: &QueueId) {
        let lines = self.index.watched.get(queue).into_iter().flatten();
        for line in lines {
            let waiting = self.index.lines[*line].waiting.iter().enumerate();
            let some = waiting.filter(|(_, set)| !set.is_empty());
            self.work
                .lines
                .extend(some.map(|(stage, _)| (*line, stage)));
        }
    }
}

/// What of a stage is open just now.
pub(crate) struct Gates {
    /// The queues in reach that are not, one bit each; there are at most [`REACH_MAX`].
    shut: u64,
    /// The last way that counts.
    pub(crate) way: u16,
}

impl Gates {
    pub(crate) fn open(&self, entry: &Entry) -> bool {
        entry.fit.way <= self.way && self.in_reach(entry)
    }
    pub(crate) fn in_reach(&self, entry: &Entry) -> bool {
        self.shut & (1 << entry.reach) == 0
    }
}

impl Stage {
    /// Whether nothing of it hangs on the moment.
    pub(crate) fn is_plain(&self) -> bool {
        self.ways.len() == 1 && self.gates().next().is_none()
    }

    /// Everything that may open or shut the way to its queues.
    pub(crate) fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.reach.iter().flat_map(|r| &r.gates)
    }
}

impl Gate {
    /// Whether it can ever be shut.
    fn shuts(&self) -> bool {
        self.waiting_min > 0 || self.no_agent || self.service_level_below > 0
    }
}

/// Whom a queue lets in after a waiting time, and whom while nobody of those is at work.
fn ways(queue: &Queue, holds: &[(Only, Millis)], after: Millis) -> Vec<Way> {
    let step = queue
        .steps
        .iter()
        .rposition(|s| Millis::from(s.after_ms) <= after)
        .unwrap_or(0);
    let held = holds.iter().filter(|(_, until)| *until > after);
    let mut ways: Vec<Way> = held
        .map(|(only, _)| Way {
            step,
            only: only.clone(),
        })
        .collect();
    ways.push(Way {
        step,
        only: Only::Anyone,
    });
    let skips = |step: &usize| queue.steps[*step].skip_if_nobody && step + 1 < queue.steps.len();
    let mut at = step;
    while queue.steps.get(at).is_some() && skips(&at) {
        at += 1;
        ways.push(Way {
            step: at,
            only: Only::Anyone,
        });
    }
    ways
}
