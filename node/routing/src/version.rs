//! Versions of the configuration: who changed what and when, and what was there before.

use crate::command::ConfigChange;
use crate::ids::*;
use crate::state::{AgentState, State};

/// One change of the configuration. Schedules resolved anew and tags learnt are none: they mean what they meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts from 1; the configuration before the first change is version 0.
    pub number: u64,
    /// Log index of the command.
    pub index: u64,
    /// When.
    pub at: Millis,
    /// Who asked.
    pub actor: String,
    /// The objects, in the order in which they were changed.
    pub changes: Vec<Change>,
}

/// How one object was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub how: How,
    /// What puts the object back as it was before.
    pub undo: ConfigChange,
}

/// How an object was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It was new.
    Added = 1,
    /// It was replaced.
    Replaced = 2,
    /// It went.
    Removed = 3,
}

impl State {
    /// What a change is about to do, where it does anything.
    pub(crate) fn about_to(&self, change: &ConfigChange) -> Option<Change> {
        use ConfigChange::*;
        let put = |undo: Option<ConfigChange>, gone: ConfigChange| match undo {
            Some(undo) if undo == *change => None,
            Some(undo) => Some((How::Replaced, undo)),
            None => Some((How::Added, gone)),
        };
        let (how, undo) = match change {
            PutWorkspace(w) if *w == self.workspace => None,
            PutWorkspace(_) => Some((How::Replaced, PutWorkspace(self.workspace.clone()))),
            PutRegion(r) => put(self.region_now(&r.id), RemoveRegion(r.id.clone())),
            PutSchedule(s) => put(self.schedule_now(&s.id), RemoveSchedule(s.id.clone())),
            PutQueue(q) => put(self.queue_now(&q.id), RemoveQueue(q.id.clone())),
            PutAgent(a) => put(self.agent_now(&a.id), RemoveAgent(a.id.clone())),
            RemoveRegion(id) => self.region_now(id).map(|undo| (How::Removed, undo)),
            RemoveSchedule(id) => self.schedule_now(id).map(|undo| (How::Removed, undo)),
            RemoveQueue(id) => self.queue_now(id).map(|undo| (How::Removed, undo)),
            RemoveAgent(id) => self.agent_now(id).map(|undo| (How::Removed, undo)),
            ExtendSchedule(_) | LearnLanguage(_) => None,
        }?;
        Some(Change { how, undo })
    }

    fn region_now(&self, id: &RegionId) -> Option<ConfigChange> {
        self.regions.get(id).cloned().map(ConfigChange::PutRegion)
    }
    fn schedule_now(&self, id: &ScheduleId) -> Option<ConfigChange> {
        let schedule = self.schedules.get(id).cloned();
        schedule.map(ConfigChange::PutSchedule)
    }
    fn queue_now(&self, id: &QueueId) -> Option<ConfigChange> {
        self.queues.get(id).cloned().map(ConfigChange::PutQueue)
    }
    fn agent_now(&self, id: &AgentId) -> Option<ConfigChange> {
        let agent = self.agents.get(id).map(|a| a.config.clone());
        agent.map(ConfigChange::PutAgent)
    }

    /// The configuration alone, as a state in which nobody is at work and no chat waits, to undo changes in.
    pub fn configuration(&self) -> State {
        State {
            meta: self.meta.clone(),
            workspace: self.workspace.clone(),
            regions: self.regions.clone(),
            schedules: self.schedules.clone(),
            queues: self.queues.clone(),
            agents: self.agents.clone(),
            languages: self.languages.clone(),
            ..State::default()
        }
    }

    /// Puts the objects of a version back as they were before it. Of a [`Self::configuration`], from the newest
    /// version backwards.
    pub fn undo(&mut self, version: Version) {
        for change in version.changes.into_iter().rev() {
            match change.undo {
                ConfigChange::PutWorkspace(w) => self.workspace = w,
                ConfigChange::PutRegion(r) => drop(self.regions.insert(r.id.clone(), r)),
                ConfigChange::PutSchedule(s) => drop(self.schedules.insert(s.id.clone(), s)),
                ConfigChange::PutQueue(q) => drop(self.queues.insert(q.id.clone(), q)),
                ConfigChange::PutAgent(a) => {
                    drop(self.agents.insert(a.id.clone(), AgentState::new(a, 0)));
                }
                ConfigChange::RemoveRegion(id) => drop(self.regions.remove(&id)),
                ConfigChange::RemoveSchedule(id) => drop(self.schedules.remove(&id)),
                ConfigChange::RemoveQueue(id) => drop(self.queues.remove(&id)),
                ConfigChange::RemoveAgent(id) => drop(self.agents.remove(&id)),
                ConfigChange::ExtendSchedule(_) | ConfigChange::LearnLanguage(_) => {}
            }
        }
        self.meta.version = version.number.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Stamped};
    use crate::model::*;

    fn configure(state: &mut State, changes: Vec<ConfigChange>) -> Option<Version> {
        let stamped = Stamped {
            index: state.meta().index + 1,
            at: 0,
            request_id: String::new(),
            actor: "operator:ann".into(),
            command: Command::Configure(changes),
        };
        let outcome = state.apply(&stamped);
        outcome.result.expect("the changes are accepted");
        outcome.version
    }

    fn shown(state: &State) -> String {
        let agents: Vec<_> = state.agents().values().map(|a| &a.config).collect();
        let (w, r, q) = (state.workspace(), state.regions(), state.queues());
        format!("{w:?} {r:?} {:?} {q:?} {agents:?}", state.schedules())
    }

    #[test]
    fn versions_undone_from_the_newest_backwards_give_every_former_configuration() {
        use ConfigChange::*;
        let schedule = Schedule {
            id: "s".into(),
            spans: vec![Span { start: 0, end: 9 }],
            horizon: 9,
            zone_data: String::new(),
            source: vec![],
            last_offer_ms: 0,
            handover_ms: 0,
            handover_to_line: false,
        };
        let region = |zone: &str| Region {
            id: "eu".into(),
            zone: zone.into(),
            schedule: "s".into(),
            neighbours: vec![],
        };
        let queue = |id: &str| Queue {
            id: id.into(),
            ..Queue::default()
        };
        let agent = |capacity| Agent {
            id: "ann".into(),
            name: "Ann".into(),
            region: "eu".into(),
            capacity,
            queues: vec!["q".into()],
            languages: vec![LanguageLevel {
                language: "en".into(),
                level: Level::Native,
            }],
            ..Agent::default()
        };
        let steps = [
            vec![
                PutSchedule(schedule.clone()),
                PutRegion(region("Etc/UTC")),
                PutQueue(queue("q")),
                PutQueue(queue("r")),
                PutAgent(agent(1)),
            ],
            vec![PutAgent(agent(2)), RemoveQueue("r".into())],
            vec![
                PutWorkspace(Workspace {
                    name: "new".into(),
                    ..Workspace::default()
                }),
                PutRegion(region("Europe/Berlin")),
            ],
            vec![RemoveAgent("ann".into()), RemoveQueue("q".into())],
        ];
        let mut state = State::default();
        let (mut versions, mut former) = (Vec::new(), Vec::new());
        for changes in steps {
            former.push(shown(&state));
            versions.push(configure(&mut state, changes).expect("a version"));
        }
        assert_eq!(versions[1].actor, "operator:ann");
        assert_eq!(
            versions[1]
                .changes
                .iter()
                .map(|c| c.how)
                .collect::<Vec<_>>(),
            [How::Replaced, How::Removed]
        );
        // What stays the same is no change, and neither is a schedule resolved further ahead.
        assert_eq!(
            configure(&mut state, vec![PutRegion(region("Europe/Berlin"))]),
            None
        );
        assert_eq!(configure(&mut state, vec![ExtendSchedule(schedule)]), None);
        assert_eq!(state.meta().version, 4);
        let mut then = state.configuration();
        for (version, before) in versions.into_iter().zip(former).rev() {
            then.undo(version);
            assert_eq!(shown(&then), before);
        }
        assert_eq!(then.meta().version, 0);
    }
}
