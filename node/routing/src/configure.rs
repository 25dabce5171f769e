//! Configuration: a set of changes is put in force as a whole, or not at all.

use crate::checks::View;
use crate::closure::Shut;
use crate::command::ConfigChange;
use crate::effect::{Answer, Effect, Reject};
use crate::explain::What;
use crate::ids::*;
use crate::model::*;
use crate::state::{AgentState, Key, State};
use crate::version::Version;

impl State {
    pub(crate) fn configure(
        &mut self,
        changes: &[ConfigChange],
        actor: &str,
    ) -> Result<Answer, Reject> {
        self.check(changes)?;
        let mut meanings = false;
        let mut told = Vec::new();
        for change in changes {
            told.extend(self.about_to(change));
            match change {
                ConfigChange::LearnLanguage(resolved) => meanings |= self.learn(resolved),
                change => self.put_in_force(change),
            }
        }
        if !told.is_empty() {
            self.meta.version += 1;
            self.work.version = Some(Version {
                number: self.meta.version,
                index: self.meta.index,
                at: self.meta.now,
                actor: actor.to_owned(),
                changes: told,
            });
        }
        if !changes.is_empty() {
            self.work.configured = true;
            self.derive_again(changes, meanings);
        }
        Ok(Answer::Done)
    }

    /// Brings the indexes in line with what was changed, and leaves the rest of them alone.
    fn derive_again(&mut self, changes: &[ConfigChange], meanings: bool) {
        let (mut demands, mut hours) = (meanings, false);
        for change in changes {
            match change {
                ConfigChange::PutWorkspace(_)
                | ConfigChange::PutRegion(_)
                | ConfigChange::PutQueue(_)
                | ConfigChange::RemoveQueue(_) => demands = true,
                ConfigChange::PutSchedule(_)
                | ConfigChange::ExtendSchedule(_)
                | ConfigChange::RemoveSchedule(_) => hours = true,
                ConfigChange::PutAgent(Agent { id, .. }) | ConfigChange::RemoveAgent(id) => {
                    self.seat(id);
                    // Chats held for them go by their team and their bench.
                    demands |= self.index.held_lines.contains_key(id);
                }
                ConfigChange::RemoveRegion(_) | ConfigChange::LearnLanguage(_) => {}
            }
        }
        if self.mostly_empty_benches() || self.orders() != self.index.orders {
            self.reindex();
        } else if demands {
            self.reline();
        }
        if changes
            .iter()
            .any(|c| matches!(c, ConfigChange::PutWorkspace(_)))
        {
            // The rule for breaks may be another.
            let off = self.workspace.break_after_ms == 0;
            for id in self.agents.keys().cloned().collect::<Vec<_>>() {
                match off && self.agents[&id].break_due {
                    true => self.edit_agent(&id, |a| a.break_due = false),
                    false => self.refresh_agent(&id),
                }
            }
        }
        if demands || hours {
            self.bring_forward();
        }
        for change in changes {
            if let ConfigChange::PutAgent(Agent { id, .. }) = change {
                self.unload(id);
            }
        }
        // What fell due by the new hours falls due now.
        self.work.due.clear();
    }

    /// Takes back offers that a lowered capacity has no room for; what the agent talks about already stays.
    fn unload(&mut self, id: &AgentId) {
        let offers: Vec<ChatId> = self
            .held(id)
            .filter(|c| matches!(c.phase, Phase::Offered { .. }))
            .map(|c| c.id.clone())
            .collect();
        for chat in offers {
            if self.excess(id) == 0 {
                break;
            }
            self.withdraw(
                &chat,
                id,
                What::OfferWithdrawn,
                "the agent's capacity was lowered",
                false,
            );
        }
        let excess = self.excess(id);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.excess = excess;
        }
    }

    /// Whether a set of changes would be accepted, without making it; for a dry run.
    ///
    /// # Errors
    /// The first field at fault. Objects are named by kind and place among the puts of their kind, such as
    /// `agents[3].capacity`.
    pub fn check(&self, changes: &[ConfigChange]) -> Result<(), Reject> {
        let view = View::of(self, changes)?;
        let mut places = [0; 4];
        for change in changes {
            let kind = match change {
                ConfigChange::PutRegion(_) => 0,
                // One that came too late is ignored, so nothing of it can be at fault.
                ConfigChange::ExtendSchedule(s) if !self.extends(s) => continue,
                ConfigChange::PutSchedule(_) | ConfigChange::ExtendSchedule(_) => 1,
                ConfigChange::PutQueue(_) => 2,
                ConfigChange::PutAgent(_) => 3,
                _ => {
                    view.check_put(change, 0)?;
                    continue;
                }
            };
            view.check_put(change, places[kind])?;
            places[kind] += 1;
        }
        // A queue left alone may overflow into one that was changed.
        for queue in view
            .all_queues()
            .filter(|q| !view.queues.contains_key(&q.id))
        {
            view.check_overflow(queue, &format!("queue '{}'", queue.id))?;
        }
        view.check_removals()
    }

    /// Whether a schedule resolved anew still stands for the one in force.
    fn extends(&self, resolved: &Schedule) -> bool {
        self.schedules.get(&resolved.id).is_some_and(|present| {
            present.source == resolved.source && present.zone_data <= resolved.zone_data
        })
    }

    fn put_in_force(&mut self, change: &ConfigChange) {
        let key = match change {
            ConfigChange::ExtendSchedule(schedule) if !self.extends(schedule) => return,
            ConfigChange::LearnLanguage(_) => return,
            ConfigChange::PutWorkspace(workspace) => {
                self.workspace = workspace.clone();
                Key::Workspace
            }
            ConfigChange::PutRegion(region) => {
                self.regions.insert(region.id.clone(), region.clone());
                Key::Region(region.id.clone())
            }
            ConfigChange::PutSchedule(schedule) | ConfigChange::ExtendSchedule(schedule) => {
                let (id, now) = (&schedule.id, self.meta.now);
                let edge = self.schedules.get(id).and_then(|s| s.next_change(now));
                self.schedules.insert(id.clone(), schedule.clone());
                self.reschedule(id, edge);
                Key::Schedule(id.clone())
            }
            ConfigChange::PutQueue(queue) => {
                self.queues.insert(queue.id.clone(), queue.clone());
                Key::Queue(queue.id.clone())
            }
            ConfigChange::PutAgent(agent) => {
                let floor = self.meta.epoch_floor;
                let state = self
                    .agents
                    .entry(agent.id.clone())
                    .or_insert_with(|| AgentState::new(agent.clone(), floor));
                state.config = agent.clone();
                self.work.touched.push(agent.id.clone());
                Key::Agent(agent.id.clone())
            }
            ConfigChange::RemoveRegion(id) => {
                self.regions.remove(id);
                self.open_again(&Shut::Region(id.clone()));
                Key::Region(id.clone())
            }
            ConfigChange::RemoveSchedule(id) => {
                let gone = self.schedules.remove(id);
                self.reschedule(id, gone.and_then(|s| s.next_change(self.meta.now)));
                Key::Schedule(id.clone())
            }
            ConfigChange::RemoveQueue(id) => {
                self.queues.remove(id);
                self.open_again(&Shut::Queue(id.clone()));
                if self.stats.remove(id).is_some() {
                    self.work.dirty.push(Key::Stats(id.clone()));
                }
                self.refresh_slide(id);
                Key::Queue(id.clone())
            }
            ConfigChange::RemoveAgent(id) => {
                if let Some(agent) = self.agents.remove(id) {
                    // Should an agent of this name come again, old sessions stay fenced.
                    self.meta.epoch_floor = self.meta.epoch_floor.max(agent.epoch);
                    if agent.node != 0 {
                        self.work.effects.push(Effect::SessionFenced {
                            agent: id.clone(),
                            epoch: agent.epoch,
                        });
                    }
                }
                Key::Agent(id.clone())
            }
        };
        self.work.dirty.push(key);
    }
}
