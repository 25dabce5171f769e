//! Who covers a queue's languages when, as the schedules say; no clock and no cluster.

use std::collections::{BTreeMap, BTreeSet};

use meridian_calendar::{HORIZON_DAYS_MAX, Millis, Span, zone_data};
use meridian_language::{LanguageError, NEAR, Variety, distance, spoken, wanted};
use meridian_proto::livechat::v1 as api;
use meridian_routing::command::{Command, ConfigChange, Stamped};
use meridian_routing::ids::{RegionId, ScheduleId};
use meridian_routing::model::{Region, Schedule};
use meridian_routing::state::State;

use crate::failure::Failure;
use crate::world::calendar;

/// One day.
pub(super) const DAY_MS: Millis = 24 * 3_600_000;
/// Resolved before what is asked for, as nodes do it: a night or working day may have begun earlier.
const BEFORE_DAYS: u32 = 7;

/// Schedules by id, resolved to spans.
pub(super) type Schedules = BTreeMap<String, Schedule>;

/// Resolves every schedule from a week before `from` to more than a year after.
///
/// # Errors
/// When a schedule cannot be resolved; the message names it.
pub(super) fn resolve(
    configuration: &api::Configuration,
    from: Millis,
) -> Result<Schedules, Failure> {
    let first = from - Millis::from(BEFORE_DAYS) * DAY_MS;
    let resolve = |(i, given): (usize, &api::Schedule)| {
        let spans = match given.spans.as_slice() {
            [] => calendar::read(given)?
                .hours
                .resolve(first, HORIZON_DAYS_MAX)
                .map_err(|e| Failure::Failed(format!("schedules[{i}] ({}).{e}", given.id)))?,
            planned => planned
                .iter()
                .map(|s| Span {
                    start: s.from_ms,
                    end: s.to_ms,
                })
                .collect(),
        };
        let resolved = Schedule {
            id: ScheduleId::from(given.id.clone()),
            spans,
            horizon: first + Millis::from(HORIZON_DAYS_MAX) * DAY_MS,
            zone_data: zone_data().to_owned(),
            source: Vec::new(),
            last_offer_ms: given.last_offer_ms,
            handover_ms: 0,
            handover_to_line: false,
        };
        Ok((given.id.clone(), resolved))
    };
    configuration
        .schedules
        .iter()
        .enumerate()
        .map(resolve)
        .collect()
}

/// Regions in sun order at an instant, the best first. The routing core itself is asked, so that the answer is the
/// one it routes by.
///
/// # Errors
/// When the core refuses a region or its schedule.
pub(super) fn sun_order(
    configuration: &api::Configuration,
    schedules: &Schedules,
    at: Millis,
) -> Result<Vec<String>, Failure> {
    let used: BTreeSet<&String> = configuration.regions.iter().map(|r| &r.schedule).collect();
    let mut changes = Vec::new();
    for id in used {
        let mut schedule = known(schedules, id)?.clone();
        // What passed long ago decides nothing, and the core bounds how much it takes.
        schedule.spans.retain(|s| s.end > at - DAY_MS);
        changes.push(ConfigChange::PutSchedule(schedule));
    }
    changes.extend(configuration.regions.iter().map(|r| {
        ConfigChange::PutRegion(Region {
            id: RegionId::from(r.id.clone()),
            zone: r.zone.clone(),
            schedule: ScheduleId::from(r.schedule.clone()),
            neighbours: Vec::new(),
        })
    }));
    let mut core = State::default();
    let stamped = Stamped {
        index: 1,
        at,
        request_id: String::new(),
        actor: String::new(),
        command: Command::Configure(changes),
    };
    let outcome = core.apply(&stamped).result;
    outcome.map_err(|e| Failure::Failed(format!("the sun order cannot be computed: {e}")))?;
    let mut order: Vec<_> = core.sun_order().into_iter().collect();
    order.sort_by_key(|(_, place)| *place);
    Ok(order.into_iter().map(|(id, _)| id.into()).collect())
}

fn known<'a>(schedules: &'a Schedules, id: &str) -> Result<&'a Schedule, Failure> {
    // The cluster may have removed it between two pages.
    schedules.get(id).ok_or_else(|| {
        Failure::Failed(format!(
            "schedule '{id}' is used but not there; define it or ask again"
        ))
    })
}

/// A queue's opening hours and languages.
pub(super) struct Cover<'a> {
    /// Opening hours; none = always open.
    pub(super) open: Option<&'a Schedule>,
    /// What its agents speak, by label.
    pub(super) languages: Vec<Language<'a>>,
}

/// Who of a queue's agents serves a language at the queue's first step.
pub(super) struct Language<'a> {
    /// Its tag, `pt` for every kind of Portuguese.
    pub(super) label: String,
    /// Agents by their schedule.
    shifts: BTreeMap<&'a str, (&'a Schedule, Vec<&'a api::Agent>)>,
    /// Agents without schedule: nothing is certain of them.
    pub(super) whenever: Vec<&'a str>,
}

/// A stretch in which nothing changes.
pub(super) struct Stretch {
    /// When.
    pub(super) span: Span,
    /// How many agents are on shift.
    pub(super) agents: u32,
    /// Whether the queue is open.
    pub(super) open: bool,
}

/// A stretch in which an open queue has nobody on shift for a language, or one agent.
pub(super) struct Gap<'a> {
    /// When.
    pub(super) span: Span,
    /// The one agent, if there is one.
    pub(super) only: Option<&'a str>,
    /// Who begins next, and when.
    pub(super) next: Option<(Millis, &'a api::Agent)>,
}

/// The fewest agents on shift in a slot of time, while the queue is open if it is at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// How many.
    pub(super) agents: u32,
    /// Whether the queue is open in any of it.
    pub(super) open: bool,
}

/// Finds the languages of a queue and who serves them.
///
/// # Errors
/// When a language tag or a schedule's id cannot be used; the message names the agent.
pub(super) fn cover<'a>(
    configuration: &'a api::Configuration,
    schedules: &'a Schedules,
    queue: &api::Queue,
) -> Result<Cover<'a>, Failure> {
    let step = queue.steps.first();
    let level = step.map_or(api::LanguageLevel::Fluent as i32, |s| s.language_level);
    let regions = step.map_or(&[][..], |s| &s.regions);
    let mut speakers = Vec::new();
    let mut labels = BTreeSet::new();
    for agent in configuration.agents.iter() {
        if !agent.queues.contains(&queue.id) {
            continue;
        }
        let mut good = Vec::new();
        for language in &agent.languages {
            let bad =
                |e: LanguageError| Failure::Failed(format!("agent '{}': languages: {e}", agent.id));
            let variety = spoken(&language.language).map_err(bad)?;
            labels.insert(label(&variety));
            if language.level >= level {
                good.push(variety);
            }
        }
        if regions.is_empty() || regions.contains(&agent.region) {
            speakers.push((agent, good));
        }
    }
    let language = |label: String| {
        let wanted = wanted(&label).map_err(|e| Failure::Failed(format!("language: {e}")))?;
        let near = |v: &Variety| distance(&wanted, v).is_some_and(|apart| apart <= NEAR);
        let (mut shifts, mut whenever) = (BTreeMap::new(), Vec::new());
        for (agent, _) in speakers.iter().filter(|(_, good)| good.iter().any(near)) {
            if agent.schedule.is_empty() {
                whenever.push(agent.id.as_str());
                continue;
            }
            let schedule = known(schedules, &agent.schedule)?;
            let shift = shifts.entry(agent.schedule.as_str());
            let (_, agents) = shift.or_insert((schedule, Vec::new()));
            agents.push(*agent);
        }
        Ok(Language {
            label,
            shifts,
            whenever,
        })
    };
    let open = match queue.schedule.as_str() {
        "" => None,
        id => Some(known(schedules, id)?),
    };
    let languages = labels.into_iter().map(language);
    let languages = languages.collect::<Result<_, Failure>>()?;
    Ok(Cover { open, languages })
}

/// The shortest tag of a language in one script: `pt`, but `zh-Hant`.
fn label(variety: &Variety) -> String {
    let language = variety.key.split('-').next().unwrap_or_default();
    match spoken(language) {
        Ok(likely) if likely.key == variety.key => language.to_owned(),
        _ => variety.key.clone(),
    }
}

impl<'a> Language<'a> {
    /// Whether anybody with a schedule serves it.
    pub(super) fn planned(&self) -> bool {
        !self.shifts.is_empty()
    }

    /// What is there from one change to the next.
    pub(super) fn stretches(&self, open: Option<&Schedule>, window: Span) -> Vec<Stretch> {
        let mut changes = BTreeMap::from([(window.start, 0_i64), (window.end, 0)]);
        let mut change = |schedule: &Schedule, by: i64| {
            let from = schedule.spans.partition_point(|s| s.end <= window.start);
            let spans = schedule.spans[from..].iter();
            for span in spans.take_while(|s| s.start < window.end) {
                *changes.entry(span.start.max(window.start)).or_default() += by;
                *changes.entry(span.end.min(window.end)).or_default() -= by;
            }
        };
        for (schedule, agents) in self.shifts.values() {
            change(schedule, agents.len() as i64);
        }
        if let Some(open) = open {
            change(open, 0);
        }
        let ends = changes.keys().skip(1).copied().collect::<Vec<_>>();
        let mut agents = 0;
        let mut stretches = Vec::with_capacity(ends.len());
        for ((start, by), end) in changes.into_iter().zip(ends) {
            agents += by;
            stretches.push(Stretch {
                span: Span { start, end },
                agents: u32::try_from(agents).unwrap_or_default(),
                open: open.is_none_or(|s| s.contains(start)),
            });
        }
        stretches
    }

    /// Stretches of the window in which the queue is open and nobody is on shift; with `thin` one agent, too.
    pub(super) fn gaps(&self, open: Option<&Schedule>, window: Span, thin: bool) -> Vec<Gap<'a>> {
        let mut gaps: Vec<Gap> = Vec::new();
        for stretch in self.stretches(open, window) {
            if !stretch.open || stretch.agents > u32::from(thin) {
                continue;
            }
            let Span { start, end } = stretch.span;
            let only = self.on_shift(start);
            match gaps.last_mut() {
                Some(last) if last.span.end == start && last.only == only => last.span.end = end,
                _ => gaps.push(Gap {
                    span: stretch.span,
                    only,
                    next: self.next(start, only),
                }),
            }
        }
        gaps
    }

    /// The fewest on shift in each of `count` slots of the window, which they share.
    pub(super) fn slots(&self, open: Option<&Schedule>, window: Span, count: i64) -> Vec<Slot> {
        let length = (window.end - window.start) / count;
        let stretches = self.stretches(open, window);
        let slot = |n| {
            let start = window.start + n * length;
            let within = stretches
                .iter()
                .filter(|s| s.span.start < start + length && s.span.end > start);
            let fewest = |open| {
                let agents = within.clone().filter(|s| s.open == open).map(|s| s.agents);
                agents.min().map(|agents| Slot { agents, open })
            };
            // The stretches cover the window.
            fewest(true).or_else(|| fewest(false)).unwrap_or(Slot {
                agents: 0,
                open: false,
            })
        };
        (0..count).map(slot).collect()
    }

    /// The first agent on shift.
    fn on_shift(&self, at: Millis) -> Option<&'a str> {
        let shifts = self.shifts.values().filter(|(s, _)| s.contains(at));
        let agents = shifts.flat_map(|(_, agents)| agents);
        agents.map(|a| a.id.as_str()).min()
    }

    /// Who but `only` begins a shift first after `at`.
    fn next(&self, at: Millis, only: Option<&str>) -> Option<(Millis, &'a api::Agent)> {
        let starts = self.shifts.values().filter_map(|(schedule, agents)| {
            let others = agents.iter().filter(|a| Some(a.id.as_str()) != only);
            Some((schedule.next_start(at)?, *others.min_by_key(|a| &a.id)?))
        });
        starts.min_by_key(|(start, agent)| (*start, &agent.id))
    }
}
