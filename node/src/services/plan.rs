//! What an Apply would do, worked out against the state before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use meridian_proto::livechat::v1::*;
use meridian_routing::command::{Command, ConfigChange};
use meridian_routing::ids::*;
use meridian_routing::model;
use meridian_routing::state::{Request, State};
use tonic::Status;

use super::diff;
use super::status::{conflict, invalid, rejected};
use crate::convert::{api, command};
use crate::raft::group::COMMAND_BYTES_MAX;

/// An Apply, checked.
pub(super) struct Plan {
    /// The changes to write: every object put, and those removed.
    pub(super) changes: Vec<ConfigChange>,
    /// The same, for people; what stays as it is is left out.
    pub(super) told: Vec<ObjectChange>,
    /// Whether anything differs from what is in force.
    pub(super) needed: bool,
}

impl Plan {
    /// Checks what is asked for against the state.
    pub(super) fn of(state: &State, ask: &ApplyRequest, now: Millis) -> Result<Self, Status> {
        let nothing = Configuration::default();
        let put = match &ask.put {
            Some(put) => put,
            None if ask.prune => {
                let problem = "removes whatever put does not hold, and put is absent; \
                     give put, or name what to remove";
                return Err(invalid("prune", problem));
            }
            None => &nothing,
        };
        let mut changes = api::changes(put, now).map_err(|r| rejected(&r))?;
        for change in &mut changes {
            keep_resolved(state, change);
        }
        let before = api::configuration(state);
        let wanted = canonical(&changes);
        let mut removed = BTreeMap::new();
        for (kind, named, now, put) in [
            (
                "agent",
                &ask.remove_agents,
                ids(&before.agents, |o| &o.id),
                ids(&wanted.agents, |o| &o.id),
            ),
            (
                "queue",
                &ask.remove_queues,
                ids(&before.queues, |o| &o.id),
                ids(&wanted.queues, |o| &o.id),
            ),
            (
                "region",
                &ask.remove_regions,
                ids(&before.regions, |o| &o.id),
                ids(&wanted.regions, |o| &o.id),
            ),
            (
                "schedule",
                &ask.remove_schedules,
                ids(&before.schedules, |o| &o.id),
                ids(&wanted.schedules, |o| &o.id),
            ),
        ] {
            let mut gone: BTreeSet<&String> = named.iter().collect();
            if let Some(id) = gone.iter().find(|id| put.contains(*id)) {
                let problem = format!("'{id}' is also put; do one or the other");
                return Err(invalid(&format!("remove_{kind}s"), &problem));
            }
            if ask.prune {
                gone.extend(now.difference(&put));
            }
            let gone: Vec<String> = gone.into_iter().cloned().collect();
            changes.extend(gone.iter().map(|id| remove(kind, id)));
            removed.insert(kind, gone);
        }
        state.check(&changes).map_err(|r| rejected(&r))?;
        let needed = changes.iter().any(|change| differs(state, change));
        let told = diff::changes(&before, &wanted, &removed);
        Ok(Self {
            changes,
            told,
            needed,
        })
    }

    /// Refuses what is too large for one entry of the log.
    pub(super) fn check_size(&self) -> Result<(), Status> {
        let command = Command::Configure(self.changes.clone());
        let bytes = command::encode(0, "", "", "", &command).len() + ENVELOPE_BYTES;
        if bytes <= COMMAND_BYTES_MAX {
            return Ok(());
        }
        let problem = format!(
            "takes {bytes} bytes in the log, at most {COMMAND_BYTES_MAX} are allowed; split it over several calls"
        );
        Err(invalid("put", &problem))
    }
}

/// Refuses a request under an id that stood for another one. Of what was carried out only the number of objects
/// is remembered, and of a prune some are gone since.
pub(super) fn check_repeat(ask: &ApplyRequest, now: Millis, done: &Request) -> Result<(), Status> {
    let put = ask.put.clone().unwrap_or_default();
    let mut changes = api::changes(&put, now).map_err(|r| rejected(&r))?;
    for (kind, named) in [
        ("agent", &ask.remove_agents),
        ("queue", &ask.remove_queues),
        ("region", &ask.remove_regions),
        ("schedule", &ask.remove_schedules),
    ] {
        let named: BTreeSet<_> = named.iter().collect();
        changes.extend(named.into_iter().map(|id| remove(kind, id)));
    }
    if ask.prune || Command::Configure(changes).subject() == done.subject {
        return Ok(());
    }
    Err(conflict(format!(
        "request id '{}' was used to {}; give each request an id of its own",
        done.id, done.subject
    )))
}

/// Request id, actor, time and trace context around the changes, and what Raft puts around a command.
const ENVELOPE_BYTES: usize = 2_048;

fn ids<T>(objects: &[T], id: fn(&T) -> &String) -> BTreeSet<&String> {
    objects.iter().map(id).collect()
}

fn remove(kind: &str, id: &str) -> ConfigChange {
    match kind {
        "agent" => ConfigChange::RemoveAgent(id.into()),
        "queue" => ConfigChange::RemoveQueue(id.into()),
        "region" => ConfigChange::RemoveRegion(id.into()),
        _ => ConfigChange::RemoveSchedule(id.into()),
    }
}

/// Whether two schedules are made from the same: resolved ones then differ in horizon and zone data only.
fn same_hours(a: &model::Schedule, b: &model::Schedule) -> bool {
    let given = |s: &model::Schedule| s.horizon == Millis::MAX;
    a.source == b.source && given(a) == given(b) && (!given(a) || a.spans == b.spans)
}

/// A schedule that stays the same stays as it is resolved: this node's zone data may be the older.
fn keep_resolved(state: &State, change: &mut ConfigChange) {
    if let ConfigChange::PutSchedule(new) = change
        && let Some(present) = state.schedules().get(&new.id)
        && same_hours(present, new)
    {
        *new = present.clone();
    }
}

fn differs(state: &State, change: &ConfigChange) -> bool {
    match change {
        ConfigChange::PutWorkspace(w) => state.workspace() != w,
        ConfigChange::PutRegion(r) => state.regions().get(&r.id) != Some(r),
        ConfigChange::PutSchedule(s) | ConfigChange::ExtendSchedule(s) => {
            state.schedules().get(&s.id) != Some(s)
        }
        ConfigChange::PutQueue(q) => state.queues().get(&q.id) != Some(q),
        ConfigChange::PutAgent(a) => state.agents().get(&a.id).map(|s| &s.config) != Some(a),
        ConfigChange::LearnLanguage(_)
        | ConfigChange::RemoveRegion(_)
        | ConfigChange::RemoveSchedule(_)
        | ConfigChange::RemoveQueue(_)
        | ConfigChange::RemoveAgent(_) => true,
    }
}

/// What was asked for as it would be in force: tags canonical, defaults filled in.
fn canonical(changes: &[ConfigChange]) -> Configuration {
    let mut out = Configuration::default();
    for change in changes {
        match change {
            ConfigChange::PutWorkspace(w) => out.workspace = Some(api::show_workspace(w)),
            ConfigChange::PutRegion(r) => out.regions.push(api::show_region(r)),
            ConfigChange::PutSchedule(s) => out.schedules.push(api::show_schedule(s)),
            ConfigChange::PutQueue(q) => out.queues.push(api::show_queue(q)),
            ConfigChange::PutAgent(a) => out.agents.push(api::show_agent(a)),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use meridian_routing::command::Stamped;

    use super::*;

    const NOW: Millis = 1_767_225_600_000;

    fn world(holidays: usize, last: LanguageLevel) -> Configuration {
        let language = |(tag, level): (&str, LanguageLevel)| SpokenLanguage {
            language: tag.into(),
            level: level.into(),
        };
        let fluent = ["en", "de", "fr", "pt-BR"].map(|tag| (tag, LanguageLevel::Fluent));
        Configuration {
            workspace: Some(Workspace {
                name: "w".into(),
                ..Default::default()
            }),
            schedules: vec![Schedule {
                id: "day".into(),
                zone: "Europe/Berlin".into(),
                week: vec![WeeklyShift {
                    days: vec!["mon".into(), "tue".into()],
                    from: "09:00".into(),
                    to: "17:00".into(),
                }],
                holidays: (1..=holidays).map(|d| format!("2027-01-{d:02}")).collect(),
                ..Default::default()
            }],
            regions: vec![Region {
                id: "eu".into(),
                zone: "Europe/Berlin".into(),
                schedule: "day".into(),
                ..Default::default()
            }],
            queues: vec![Queue {
                id: "q".into(),
                ..Default::default()
            }],
            agents: vec![Agent {
                id: "anna".into(),
                name: "Anna".into(),
                region: "eu".into(),
                languages: fluent
                    .into_iter()
                    .chain([("zh-Hant", last)])
                    .map(language)
                    .collect(),
                queues: vec!["q".into()],
                capacity: 2,
                ..Default::default()
            }],
        }
    }

    fn put(config: Configuration) -> ApplyRequest {
        ApplyRequest {
            put: Some(config),
            ..Default::default()
        }
    }

    fn plan(state: &State, ask: &ApplyRequest, now: Millis) -> Plan {
        Plan::of(state, ask, now).unwrap_or_else(|e| panic!("{e}"))
    }

    fn in_force(ask: &ApplyRequest) -> State {
        let mut state = State::default();
        let outcome = state.apply(&Stamped {
            index: 7,
            at: NOW,
            request_id: "r".into(),
            actor: "operator:ops".into(),
            command: Command::Configure(plan(&state, ask, NOW).changes),
        });
        outcome.result.expect("applied");
        state
    }

    #[test]
    fn a_change_past_what_is_shown_is_written() {
        let state = in_force(&put(world(30, LanguageLevel::Working)));
        for (ask, line) in [
            (world(31, LanguageLevel::Working), "holidays: + 2027-01-31"),
            (
                world(30, LanguageLevel::Native),
                "languages[zh-Hant]: working -> native",
            ),
        ] {
            let plan = plan(&state, &put(ask), NOW);
            assert!(plan.needed);
            assert_eq!(plan.told.len(), 1);
            assert_eq!(plan.told[0].fields, [line]);
        }
    }

    #[test]
    fn the_same_on_another_day_is_nothing_to_write() {
        let ask = put(world(30, LanguageLevel::Working));
        let state = in_force(&ask);
        let later = plan(&state, &ask, NOW + 90 * 86_400_000);
        assert!(!later.needed && later.told.is_empty());
        // And the present spans stay, should it be written beside something else.
        let kept = later.changes.iter().any(|c| {
            matches!(c, ConfigChange::PutSchedule(s) if Some(s) == state.schedules().get(&s.id))
        });
        assert!(kept);
    }

    #[test]
    fn a_prune_needs_what_is_to_stay() {
        let state = in_force(&put(world(0, LanguageLevel::Working)));
        let mut ask = ApplyRequest {
            prune: true,
            ..Default::default()
        };
        let refused = Plan::of(&state, &ask, NOW).err().expect("refused");
        assert!(refused.message().starts_with("prune: "), "{refused}");
        let mut stays = world(0, LanguageLevel::Working);
        stays.agents.clear();
        ask.put = Some(stays);
        let plan = plan(&state, &ask, NOW);
        assert_eq!(plan.told.len(), 1);
        assert_eq!(
            plan.changes.last(),
            Some(&ConfigChange::RemoveAgent("anna".into()))
        );
    }

    #[test]
    fn a_remembered_request_is_found_again_and_another_under_its_id_is_refused() {
        let ask = put(world(3, LanguageLevel::Working));
        let state = in_force(&ask);
        let done = state.request("operator:ops", "r").expect("remembered");
        assert_eq!(done.index, 7);
        assert!(state.request("operator:other", "r").is_none());
        assert!(check_repeat(&ask, NOW + 1_000, done).is_ok());
        let mut other = world(3, LanguageLevel::Working);
        other.agents.clear();
        let refused = check_repeat(&put(other), NOW, done);
        assert!(refused.is_err_and(|e| e.message().contains("an id of its own")));
    }

    #[test]
    fn what_no_entry_of_the_log_can_hold_names_put() {
        let spans = |id: String| Schedule {
            id,
            spans: (0..5_000)
                .map(|i| UtcSpan {
                    from_ms: i * 1_000_000_000,
                    to_ms: i * 1_000_000_000 + 900_000_000,
                })
                .collect(),
            ..Default::default()
        };
        let ask = put(Configuration {
            schedules: (0..200).map(|i| spans(format!("s{i}"))).collect(),
            ..Default::default()
        });
        let plan = plan(&State::default(), &ask, NOW);
        let refused = plan.check_size().expect_err("too large");
        assert!(refused.message().starts_with("put: "), "{refused}");
        assert!(refused.message().contains("split"), "{refused}");
    }
}
