//! What configuration must keep to: a set of changes is checked as a whole against what it would leave
//! behind.

mod agent;
mod queue;

pub(crate) use agent::check_skills;

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::unknown;
use crate::command::ConfigChange;
use crate::effect::Reject;
use crate::ids::*;
use crate::language::Resolved;
use crate::limits::*;
use crate::model::*;
use crate::offer::{bounds, bytes};
use crate::state::State;

/// What the configuration would be, object by object: the changes over the state.
pub(crate) struct View<'a> {
    state: &'a State,
    regions: BTreeMap<&'a RegionId, Option<&'a Region>>,
    schedules: BTreeMap<&'a ScheduleId, Option<&'a Schedule>>,
    pub(crate) queues: BTreeMap<&'a QueueId, Option<&'a Queue>>,
    agents: BTreeMap<&'a AgentId, Option<&'a Agent>>,
}

type Check = Result<(), Reject>;

fn invalid(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Reject {
    Reject::Invalid {
        field: field.into(),
        problem: problem.into(),
        fix: fix.into(),
    }
}

/// Ids travel in URLs, labels and file names, so they are kept plain.
pub(crate) fn check_id(field: &str, id: &str) -> Check {
    bytes(field, id, 1, ID_BYTES_MAX)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if plain(id.as_bytes()[0]) && id.bytes().all(|b| plain(b) || b"-_.".contains(&b)) {
        return Ok(());
    }
    Err(invalid(
        field,
        format!("'{id}' is not a plain id"),
        "use a-z, 0-9, '-', '_' and '.', begun by a letter or digit",
    ))
}

/// Refuses a list that names something twice.
pub(crate) fn check_once<T: Ord + std::fmt::Display>(
    field: &str,
    part: &str,
    items: impl Iterator<Item = T>,
) -> Check {
    let mut seen = BTreeMap::new();
    for (i, item) in items.enumerate() {
        if let Some(first) = seen.get(&item) {
            return Err(invalid(
                format!("{field}[{i}]{part}"),
                format!("'{item}' is named twice, first at {field}[{first}]{part}"),
                "take one out",
            ));
        }
        seen.insert(item, i);
    }
    Ok(())
}

/// Bounds what a tag is said to mean.
pub(crate) fn check_resolved(resolved: &Resolved, at: &str) -> Check {
    check_language(&format!("{at}.language"), &resolved.language)?;
    bytes(&format!("{at}.data"), &resolved.data, 1, NAME_BYTES_MAX)?;
    bytes(&format!("{at}.key"), &resolved.key, 2, LANGUAGE_BYTES_MAX)?;
    bytes(
        &format!("{at}.region"),
        &resolved.region,
        0,
        LANGUAGE_BYTES_MAX,
    )?;
    let most = NEAR_MAX as u64;
    bounds(&format!("{at}.near"), resolved.near.len() as u64, 1, most)?;
    bounds(
        &format!("{at}.regions"),
        resolved.regions.len() as u64,
        0,
        most,
    )?;
    for (i, (key, apart)) in resolved.near.iter().enumerate() {
        bytes(&format!("{at}.near[{i}]"), key, 2, LANGUAGE_BYTES_MAX)?;
        bounds(
            &format!("{at}.near[{i}]"),
            (*apart).into(),
            0,
            LANGUAGE_DISTANCE_MAX.into(),
        )?;
    }
    let apart = resolved.regions.iter().map(|(_, apart)| *apart);
    for apart in apart.chain([resolved.elsewhere]) {
        bounds(
            &format!("{at}.regions"),
            apart.into(),
            0,
            LANGUAGE_DISTANCE_MAX.into(),
        )?;
    }
    Ok(())
}

fn check_language(field: &str, language: &Language) -> Check {
    bytes(field, language.as_str(), 2, LANGUAGE_BYTES_MAX)
}

impl<'a> View<'a> {
    pub(crate) fn of(state: &'a State, changes: &'a [ConfigChange]) -> Result<Self, Reject> {
        let workspaces = changes
            .iter()
            .filter(|c| matches!(c, ConfigChange::PutWorkspace(_)));
        if workspaces.count() > 1 {
            return Err(invalid("workspace", "is given twice", "take one out"));
        }
        let mut view = View {
            state,
            regions: BTreeMap::new(),
            schedules: BTreeMap::new(),
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
        };
        for change in changes {
            let twice = match change {
                ConfigChange::PutWorkspace(_) => None,
                ConfigChange::PutRegion(r) => view
                    .regions
                    .insert(&r.id, Some(r))
                    .map(|_| ("regions", r.id.as_str())),
                // Whether it counts or not, which objects there are stays the same.
                ConfigChange::ExtendSchedule(_) | ConfigChange::LearnLanguage(_) => None,
                ConfigChange::PutSchedule(s) => view
                    .schedules
                    .insert(&s.id, Some(s))
                    .map(|_| ("schedules", s.id.as_str())),
                ConfigChange::PutQueue(q) => view
                    .queues
                    .insert(&q.id, Some(q))
                    .map(|_| ("queues", q.id.as_str())),
                ConfigChange::PutAgent(a) => view
                    .agents
                    .insert(&a.id, Some(a))
                    .map(|_| ("agents", a.id.as_str())),
                ConfigChange::RemoveRegion(id) => {
                    state
                        .regions
                        .get(id)
                        .ok_or_else(|| unknown("remove_regions", "region", id.as_str()))?;
                    view.regions
                        .insert(id, None)
                        .map(|_| ("regions", id.as_str()))
                }
                ConfigChange::RemoveSchedule(id) => {
                    state
                        .schedules
                        .get(id)
                        .ok_or_else(|| unknown("remove_schedules", "schedule", id.as_str()))?;
                    view.schedules
                        .insert(id, None)
                        .map(|_| ("schedules", id.as_str()))
                }
                ConfigChange::RemoveQueue(id) => {
                    state
                        .queues
                        .get(id)
                        .ok_or_else(|| unknown("remove_queues", "queue", id.as_str()))?;
                    view.queues
                        .insert(id, None)
                        .map(|_| ("queues", id.as_str()))
                }
                ConfigChange::RemoveAgent(id) => {
                    state
                        .agents
                        .get(id)
                        .ok_or_else(|| unknown("remove_agents", "agent", id.as_str()))?;
                    view.agents
                        .insert(id, None)
                        .map(|_| ("agents", id.as_str()))
                }
            };
            if let Some((field, id)) = twice {
                return Err(invalid(
                    field,
                    format!("'{id}' is named twice"),
                    "take one out",
                ));
            }
        }
        Ok(view)
    }

    fn region(&self, field: &str, id: &RegionId) -> Check {
        let known = self
            .regions
            .get(id)
            .map_or_else(|| self.state.regions.contains_key(id), Option::is_some);
        if known {
            Ok(())
        } else {
            Err(unknown(field, "region", id.as_str()))
        }
    }
    fn schedule(&self, field: &str, id: &ScheduleId) -> Check {
        let known = self
            .schedules
            .get(id)
            .map_or_else(|| self.state.schedules.contains_key(id), Option::is_some);
        if known {
            Ok(())
        } else {
            Err(unknown(field, "schedule", id.as_str()))
        }
    }
    fn queue(&self, id: &QueueId) -> Option<&'a Queue> {
        self.queues
            .get(id)
            .copied()
            .unwrap_or_else(|| self.state.queues.get(id))
    }
    fn all_regions(&self) -> impl Iterator<Item = &'a Region> {
        let kept = self
            .state
            .regions
            .values()
            .filter(|r| !self.regions.contains_key(&r.id));
        kept.chain(self.regions.values().copied().flatten())
    }
    pub(crate) fn all_queues(&self) -> impl Iterator<Item = &'a Queue> {
        let kept = self
            .state
            .queues
            .values()
            .filter(|q| !self.queues.contains_key(&q.id));
        kept.chain(self.queues.values().copied().flatten())
    }
    fn all_agents(&self) -> impl Iterator<Item = &'a Agent> {
        let kept = self
            .state
            .agents
            .values()
            .map(|a| &a.config)
            .filter(|a| !self.agents.contains_key(&a.id));
        kept.chain(self.agents.values().copied().flatten())
    }

    pub(crate) fn check_put(&self, change: &ConfigChange, place: usize) -> Check {
        match change {
            ConfigChange::PutWorkspace(workspace) => check_workspace(workspace),
            ConfigChange::PutRegion(region) => {
                let at = format!("regions[{place}]");
                check_id(&format!("{at}.id"), region.id.as_str())?;
                bytes(&format!("{at}.zone"), &region.zone, 1, NAME_BYTES_MAX)?;
                self.schedule(&format!("{at}.schedule"), &region.schedule)?;
                self.check_neighbours(region, &at)
            }
            ConfigChange::PutSchedule(schedule) | ConfigChange::ExtendSchedule(schedule) => {
                check_schedule(schedule, &format!("schedules[{place}]"))
            }
            ConfigChange::LearnLanguage(resolved) => {
                check_resolved(resolved, &format!("languages[{}]", resolved.language))
            }
            ConfigChange::PutQueue(queue) => self.check_queue(queue, &format!("queues[{place}]")),
            ConfigChange::PutAgent(agent) => self.check_agent(agent, &format!("agents[{place}]")),
            _ => Ok(()),
        }
    }

    /// Nothing kept may refer to what is removed.
    pub(crate) fn check_removals(&self) -> Check {
        let gone = |kind: &str, id: &dyn std::fmt::Display, by: String| {
            invalid(
                format!("remove_{kind}s"),
                format!("{kind} '{id}' is still used by {by}"),
                "change or remove that first",
            )
        };
        let regions: BTreeSet<_> = self
            .regions
            .iter()
            .filter(|(_, put)| put.is_none())
            .map(|(id, _)| *id)
            .collect();
        let schedules: BTreeSet<_> = self
            .schedules
            .iter()
            .filter(|(_, put)| put.is_none())
            .map(|(id, _)| *id)
            .collect();
        let queues: BTreeSet<_> = self
            .queues
            .iter()
            .filter(|(_, put)| put.is_none())
            .map(|(id, _)| *id)
            .collect();
        for region in self.all_regions() {
            if let Some(near) = region.neighbours.iter().find(|n| regions.contains(n)) {
                let by = format!("region '{}' as a neighbour", region.id);
                return Err(gone("region", near, by));
            }
        }
        if let Some(region) = self.all_regions().find(|r| schedules.contains(&r.schedule)) {
            return Err(gone(
                "schedule",
                &region.schedule,
                format!("region '{}'", region.id),
            ));
        }
        for queue in self.all_queues() {
            let by = || format!("queue '{}'", queue.id);
            if let Some(schedule) = queue.schedule.as_ref().filter(|s| schedules.contains(s)) {
                return Err(gone("schedule", schedule, by()));
            }
            if let Some(region) = queue
                .steps
                .iter()
                .flat_map(|s| s.regions.iter().chain(&s.prefer_regions))
                .find(|r| regions.contains(r))
            {
                return Err(gone("region", region, by()));
            }
            if let Some(other) = queue.overflow.iter().find(|o| queues.contains(&o.queue)) {
                return Err(gone("queue", &other.queue, by()));
            }
        }
        if !(regions.is_empty() && schedules.is_empty() && queues.is_empty()) {
            for agent in self.all_agents() {
                let by = || format!("agent '{}'", agent.id);
                if regions.contains(&agent.region) {
                    return Err(gone("region", &agent.region, by()));
                }
                if let Some(schedule) = agent.schedule.as_ref().filter(|s| schedules.contains(s)) {
                    return Err(gone("schedule", schedule, by()));
                }
                if let Some(queue) = agent.queues.iter().find(|s| queues.contains(&s.queue)) {
                    return Err(gone("queue", &queue.queue, by()));
                }
            }
        }
        for queue in queues {
            let open = self.state.queue_counts(queue);
            if open != Default::default() {
                return Err(invalid(
                    "remove_queues",
                    format!("queue '{queue}' still has open chats"),
                    "wait until they are closed or transfer them",
                ));
            }
        }
        for agent in self
            .agents
            .iter()
            .filter(|(_, put)| put.is_none())
            .map(|(id, _)| *id)
        {
            if self.state.load(agent) > 0 {
                return Err(invalid(
                    "remove_agents",
                    format!("agent '{agent}' still has open chats"),
                    "let the agent sign off first",
                ));
            }
        }
        bounds(
            "regions",
            self.all_regions().count() as u64,
            0,
            REGIONS_MAX as u64,
        )
    }
}

fn check_workspace(workspace: &Workspace) -> Check {
    bytes("workspace.name", &workspace.name, 1, NAME_BYTES_MAX)?;
    bounds(
        "workspace.fallbacks",
        workspace.fallbacks.len() as u64,
        0,
        FALLBACKS_MAX as u64,
    )?;
    for (i, (language, accept)) in workspace.fallbacks.iter().enumerate() {
        let at = format!("workspace.fallbacks[{i}]");
        check_language(&format!("{at}.language"), language)?;
        bounds(
            &format!("{at}.accept"),
            accept.len() as u64,
            1,
            FALLBACK_ACCEPT_MAX as u64,
        )?;
        for (a, other) in accept.iter().enumerate() {
            check_language(&format!("{at}.accept[{a}]"), other)?;
        }
        check_once(&format!("{at}.accept"), "", accept.iter())?;
    }
    check_once(
        "workspace.fallbacks",
        ".language",
        workspace.fallbacks.iter().map(|(l, _)| l),
    )?;
    for (name, value) in [
        ("break_after", workspace.break_after_ms),
        ("break", workspace.break_ms),
    ] {
        let field = format!("workspace.{name}");
        bounds(&field, value.into(), 0, DAY_MS.into())?;
    }
    let count = workspace.loads.len() as u64;
    bounds("workspace.loads", count, 0, LOADS_MAX as u64)?;
    for (i, load) in workspace.loads.iter().enumerate() {
        let at = format!("workspace.loads[{i}]");
        check_id(&format!("{at}.channel"), &load.channel)?;
        if !load.kind.is_empty() {
            check_id(&format!("{at}.kind"), &load.kind)?;
        }
        let weight = load.weight.into();
        bounds(&format!("{at}.weight"), weight, 1, WEIGHT_MAX.into())?;
    }
    let pair = |l: &Load| format!("{}/{}", l.channel, l.kind);
    check_once("workspace.loads", "", workspace.loads.iter().map(pair))
}

fn check_schedule(schedule: &Schedule, at: &str) -> Check {
    check_id(&format!("{at}.id"), schedule.id.as_str())?;
    let last = schedule.last_offer_ms.into();
    bounds(&format!("{at}.last_offer"), last, 0, DAY_MS.into())?;
    let handover = schedule.handover_ms.into();
    bounds(&format!("{at}.handover"), handover, 0, DAY_MS.into())?;
    bounds(
        &format!("{at}.spans"),
        schedule.spans.len() as u64,
        0,
        SPANS_MAX as u64,
    )?;
    bytes(
        &format!("{at}.zone_data"),
        &schedule.zone_data,
        0,
        NAME_BYTES_MAX,
    )?;
    bounds(
        &format!("{at}.source"),
        schedule.source.len() as u64,
        0,
        SOURCE_BYTES_MAX as u64,
    )?;
    let mut before = Millis::MIN;
    for (i, span) in schedule.spans.iter().enumerate() {
        if span.start >= span.end {
            return Err(invalid(
                format!("{at}.spans[{i}]"),
                "ends before it begins",
                "give the start first",
            ));
        }
        if span.start < before {
            return Err(invalid(
                format!("{at}.spans[{i}]"),
                "overlaps the span before",
                "order the spans and merge overlaps",
            ));
        }
        before = span.end;
    }
    Ok(())
}
