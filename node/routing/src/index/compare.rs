//! Whether two indexes say the same; for the invariants.

use std::collections::{BTreeMap, BTreeSet};

use super::{Index, LineId};
use crate::fit::Line;
use crate::state::QueueCounts;

impl Index {
    /// Compares two indexes, whatever numbers their benches and lines happen to carry.
    pub(crate) fn same_as(&self, other: &Index) -> Result<(), String> {
        let differ = |what: &str, same: bool| {
            if same {
                Ok(())
            } else {
                Err(format!(
                    "10: the index of {what} is not what the state says"
                ))
            }
        };
        let arrivals = |i: &Index| {
            let some = i.arrivals.iter().filter(|(_, s)| !s.is_empty());
            some.map(|(q, s)| (q.clone(), s.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let order = |i: &Index| {
            let some = i.order.iter().filter(|(_, s)| !s.is_empty());
            some.map(|(q, s)| (q.clone(), s.iter().cloned().collect::<Vec<_>>()))
                .collect::<BTreeMap<_, _>>()
        };
        let counts = |i: &Index| {
            i.counts
                .iter()
                .filter(|(_, c)| **c != QueueCounts::default())
                .map(|(q, c)| (q.clone(), *c))
                .collect::<BTreeMap<_, _>>()
        };
        differ("deadlines", self.deadlines == other.deadlines)?;
        differ("requests", self.requests == other.requests)?;
        differ("holdings", self.holdings == other.holdings)?;
        differ("counts", counts(self) == counts(other))?;
        differ("arrivals", arrivals(self) == arrivals(other))?;
        differ("order", order(self) == order(other))?;
        differ("sessions by node", self.nodes == other.nodes)?;
        differ("agents by schedule", self.by_schedule == other.by_schedule)?;
        let ready = |i: &Index| {
            let some = i.benches.iter().filter(|b| !b.members.is_empty());
            some.map(|b| {
                let rows = (
                    b.members.clone(),
                    b.schedules.clone(),
                    b.ready.clone(),
                    b.at_work,
                );
                (b.key.clone(), rows)
            })
            .collect::<BTreeMap<_, _>>()
        };
        differ("ready agents", ready(self) == ready(other))?;
        let waiting = |i: &Index| {
            let rows = i
                .line_ids
                .iter()
                .map(|(key, id)| (key.clone(), i.lines[*id].waiting.clone()));
            rows.filter(|(_, w)| w.iter().any(|s| !s.is_empty()))
                .collect::<BTreeMap<_, _>>()
        };
        differ("waiting lines", waiting(self) == waiting(other))?;
        let reach = |i: &Index| {
            let names: BTreeMap<LineId, &Line> =
                i.line_ids.iter().map(|(key, id)| (*id, key)).collect();
            let some = i.benches.iter().filter(|b| !b.members.is_empty());
            let rows = some.map(|b| {
                (
                    b.key.clone(),
                    b.lines
                        .iter()
                        .map(|(l, s)| (names[l].clone(), *s))
                        .collect::<BTreeSet<_>>(),
                )
            });
            rows.collect::<BTreeMap<_, _>>()
        };
        differ("lines within reach", reach(self) == reach(other))?;
        let heavy = |i: &Index| {
            let names = i.line_ids.iter().map(|(key, id)| (*id, key));
            let names: BTreeMap<LineId, &Line> = names.collect();
            let rows = i.heavy.iter().map(|(l, s)| (names[l].clone(), *s));
            rows.collect::<BTreeSet<_>>()
        };
        differ("heavy chats", heavy(self) == heavy(other))?;
        let held = |i: &Index| {
            let names = i.line_ids.iter().map(|(key, id)| (*id, key));
            let names: BTreeMap<LineId, &Line> = names.collect();
            let some = i.held.iter().filter(|(_, lines)| !lines.is_empty());
            let rows = some.map(|(agent, lines)| {
                let lines = lines.iter().map(|(l, s)| (names[l].clone(), *s));
                (agent.clone(), lines.collect::<BTreeSet<_>>())
            });
            rows.collect::<BTreeMap<_, _>>()
        };
        differ("held chats", held(self) == held(other))?;
        differ("pages by node", self.pages == other.pages)?;
        differ("assists", self.assists == other.assists)?;
        differ("agents at work", self.at_work == other.at_work)?;
        differ("service", self.slides == other.slides)
    }
}
