//! The model, to and from its durable messages.

use meridian_proto::log::v1 as log;
use meridian_routing::explain::{Candidate, Event, Rule, What};
use meridian_routing::ids::*;
use meridian_routing::language::Resolved;
use meridian_routing::limits::LANGUAGE_WEIGHT_MAX;
use meridian_routing::model::*;
use meridian_routing::state::{AgentState, Chat};

use super::Corrupt;

type Read<T> = Result<T, Corrupt>;

fn some<T>(value: Option<T>, what: &'static str) -> Read<T> {
    value.ok_or(Corrupt::Missing(what))
}
fn ids<T>(texts: Vec<String>, id: fn(String) -> T) -> Vec<T> {
    texts.into_iter().map(id).collect()
}

/// How far a language may be at a step written before steps told it.
const NEAR_BEFORE: u32 = 90;

pub(super) fn level(level: Level) -> i32 {
    level as i32
}
pub(super) fn read_level(level: i32) -> Read<Level> {
    Ok(match level {
        1 => Level::Translated,
        2 => Level::Working,
        3 => Level::Fluent,
        4 => Level::Native,
        _ => return Err(Corrupt::Missing("level")),
    })
}

pub(super) fn presence(presence: Presence) -> i32 {
    match presence {
        Presence::Offline => 1,
        Presence::Available => 2,
        Presence::Break => 3,
        Presence::Draining => 4,
        Presence::NotResponding => 5,
        Presence::Lost => 6,
    }
}
pub(super) fn read_presence(presence: i32) -> Read<Presence> {
    Ok(match presence {
        1 => Presence::Offline,
        2 => Presence::Available,
        3 => Presence::Break,
        4 => Presence::Draining,
        5 => Presence::NotResponding,
        6 => Presence::Lost,
        _ => return Err(Corrupt::Missing("presence")),
    })
}

pub(super) fn skills(skills: &[SkillLevel]) -> Vec<log::SkillLevel> {
    skills
        .iter()
        .map(|s| log::SkillLevel {
            skill: s.skill.0.clone(),
            level: s.level,
        })
        .collect()
}
pub(super) fn read_skills(skills: Vec<log::SkillLevel>) -> Vec<SkillLevel> {
    skills
        .into_iter()
        .map(|s| SkillLevel {
            skill: SkillId(s.skill),
            level: s.level,
        })
        .collect()
}
pub(super) fn tags(languages: &[Language]) -> Vec<String> {
    languages.iter().map(|l| l.0.clone()).collect()
}
pub(super) fn read_tags(tags: Vec<String>) -> Vec<Language> {
    ids(tags, Language)
}

/// Languages and, where one differs from full, their weights.
pub(super) fn wanted(languages: &[WantedLanguage]) -> (Vec<String>, Vec<u32>) {
    let tags = languages.iter().map(|w| w.language.0.clone()).collect();
    let mut weights: Vec<u32> = languages.iter().map(|w| w.weight).collect();
    if weights.iter().all(|w| *w == LANGUAGE_WEIGHT_MAX) {
        weights.clear();
    }
    (tags, weights)
}
pub(super) fn read_wanted(tags: Vec<String>, weights: &[u32]) -> Vec<WantedLanguage> {
    let weight = |i: usize| weights.get(i).copied().unwrap_or(LANGUAGE_WEIGHT_MAX);
    let tags = tags.into_iter().enumerate();
    tags.map(|(i, tag)| WantedLanguage {
        language: Language(tag),
        weight: weight(i),
    })
    .collect()
}

pub(super) fn resolved(r: &Resolved) -> log::Resolved {
    let near = r.near.iter().map(|(key, distance)| log::resolved::Apart {
        key: key.clone(),
        distance: *distance,
    });
    let regions = r.regions.iter();
    let regions = regions.map(|(group, distance)| log::resolved::GroupApart {
        group: *group,
        distance: *distance,
    });
    log::Resolved {
        language: r.language.0.clone(),
        data: r.data.clone(),
        key: r.key.clone(),
        region: r.region.clone(),
        group: r.group,
        paradigm: r.paradigm,
        near: near.collect(),
        regions: regions.collect(),
        elsewhere: r.elsewhere,
    }
}
pub(super) fn read_resolved(r: log::Resolved) -> Resolved {
    let regions = r.regions.into_iter();
    Resolved {
        language: Language(r.language),
        data: r.data,
        key: r.key,
        region: r.region,
        group: r.group,
        paradigm: r.paradigm,
        near: r.near.into_iter().map(|a| (a.key, a.distance)).collect(),
        regions: regions.map(|g| (g.group, g.distance)).collect(),
        elsewhere: r.elsewhere,
    }
}

pub(super) fn workspace(w: &Workspace) -> log::Workspace {
    let fallbacks = w.fallbacks.iter().map(|(l, accept)| log::Fallback {
        language: l.0.clone(),
        accept: tags(accept),
    });
    log::Workspace {
        name: w.name.clone(),
        fallbacks: fallbacks.collect(),
    }
}
pub(super) fn read_workspace(w: log::Workspace) -> Workspace {
    let fallbacks = w
        .fallbacks
        .into_iter()
        .map(|f| (Language(f.language), read_tags(f.accept)));
    Workspace {
        name: w.name,
        fallbacks: fallbacks.collect(),
    }
}

pub(super) fn region(r: &Region) -> log::Region {
    log::Region {
        id: r.id.0.clone(),
        zone: r.zone.clone(),
        schedule: r.schedule.0.clone(),
    }
}
pub(super) fn read_region(r: log::Region) -> Region {
    Region {
        id: RegionId(r.id),
        zone: r.zone,
        schedule: ScheduleId(r.schedule),
    }
}

pub(super) fn schedule(s: &Schedule) -> log::Schedule {
    let mut before = 0;
    let edges = s
        .spans
        .iter()
        .flat_map(|span| [span.start, span.end])
        .map(|edge| {
            // Wrapping, so that no times a caller may invent end the program; such do not read back and are
            // refused before they are proposed.
            let step = edge.wrapping_sub(before);
            before = edge;
            step
        });
    log::Schedule {
        id: s.id.0.clone(),
        edges: edges.collect(),
        horizon: s.horizon,
        zone_data: s.zone_data.clone(),
        source: s.source.clone(),
    }
}
pub(super) fn read_schedule(s: log::Schedule) -> Read<Schedule> {
    let mut at: Millis = 0;
    let mut edges = Vec::with_capacity(s.edges.len());
    for step in s.edges {
        at = some(at.checked_add(step), "schedule.edges")?;
        edges.push(at);
    }
    let pairs = edges.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(Corrupt::Missing("schedule.edges"));
    }
    let spans = pairs
        .map(|pair| Span {
            start: pair[0],
            end: pair[1],
        })
        .collect();
    Ok(Schedule {
        id: ScheduleId(s.id),
        spans,
        horizon: s.horizon,
        zone_data: s.zone_data,
        source: s.source,
    })
}

pub(super) fn queue(q: &Queue) -> log::Queue {
    let step = |s: &RelaxationStep| log::Step {
        after_ms: s.after_ms,
        language_level: level(s.language_level),
        language_distance_max: Some(s.language_distance_max),
        language_weight_min: Some(s.language_weight_min),
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        regions: s.regions.iter().map(|r| r.0.clone()).collect(),
    };
    log::Queue {
        id: q.id.0.clone(),
        schedule: q.schedule.as_ref().map(|s| s.0.clone()),
        steps: q.steps.iter().map(step).collect(),
        offer_timeout_ms: q.offer_timeout_ms,
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        overflow_queue: q.overflow.as_ref().map(|o| o.queue.0.clone()),
        overflow_after_ms: q.overflow.as_ref().map_or(0, |o| o.after_ms),
        sticky_ms: q.sticky_ms,
    }
}
pub(super) fn read_queue(q: log::Queue) -> Read<Queue> {
    let step = |s: log::Step| {
        Ok(RelaxationStep {
            after_ms: s.after_ms,
            language_level: read_level(s.language_level)?,
            language_distance_max: s.language_distance_max.unwrap_or(NEAR_BEFORE),
            language_weight_min: s.language_weight_min.unwrap_or(LANGUAGE_WEIGHT_MAX + 1),
            fallback_languages: s.fallback_languages,
            skill_levels_off: s.skill_levels_off,
            regions: ids(s.regions, RegionId),
        })
    };
    Ok(Queue {
        id: QueueId(q.id),
        schedule: q.schedule.map(ScheduleId),
        steps: q.steps.into_iter().map(step).collect::<Read<_>>()?,
        offer_timeout_ms: q.offer_timeout_ms,
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        overflow: q.overflow_queue.map(|queue| Overflow {
            after_ms: q.overflow_after_ms,
            queue: QueueId(queue),
        }),
        sticky_ms: q.sticky_ms,
    })
}

pub(super) fn agent(a: &Agent) -> log::Agent {
    log::Agent {
        id: a.id.0.clone(),
        name: a.name.clone(),
        region: a.region.0.clone(),
        schedule: a.schedule.as_ref().map(|s| s.0.clone()),
        languages: a
            .languages
            .iter()
            .map(|l| log::LanguageLevel {
                language: l.language.0.clone(),
                level: level(l.level),
            })
            .collect(),
        skills: skills(&a.skills),
        queues: a.queues.iter().map(|q| q.0.clone()).collect(),
        capacity: a.capacity,
    }
}
pub(super) fn read_agent(a: log::Agent) -> Read<Agent> {
    let language = |l: log::LanguageLevel| {
        Ok(LanguageLevel {
            language: Language(l.language),
            level: read_level(l.level)?,
        })
    };
    Ok(Agent {
        id: AgentId(a.id),
        name: a.name,
        region: RegionId(a.region),
        schedule: a.schedule.map(ScheduleId),
        languages: a.languages.into_iter().map(language).collect::<Read<_>>()?,
        skills: read_skills(a.skills),
        queues: ids(a.queues, QueueId),
        capacity: a.capacity,
    })
}

pub(super) fn agent_state(a: &AgentState) -> log::AgentState {
    log::AgentState {
        config: Some(agent(&a.config)),
        presence: presence(a.presence),
        presence_before: presence(a.presence_before),
        epoch: a.epoch,
        node: a.node,
        grace_ms: a.grace_ms,
        grace_until: a.grace_until,
        ignored: a.ignored,
        idle_since: a.idle_since,
        excess: a.excess,
        ignored_at: a.ignored_at,
        overtime: a.overtime,
    }
}
pub(super) fn read_agent_state(a: log::AgentState) -> Read<AgentState> {
    Ok(AgentState {
        config: read_agent(some(a.config, "agent.config")?)?,
        presence: read_presence(a.presence)?,
        presence_before: read_presence(a.presence_before)?,
        epoch: a.epoch,
        node: a.node,
        grace_ms: a.grace_ms,
        grace_until: a.grace_until,
        ignored: a.ignored,
        idle_since: a.idle_since,
        excess: a.excess,
        ignored_at: a.ignored_at,
        overtime: a.overtime,
    })
}

pub(super) fn phase(p: &Phase) -> log::Phase {
    use log::phase::{Held, Phase as Out, Waiting};
    let held = |agent: &AgentId, until: Millis| Held {
        agent: agent.0.clone(),
        until,
    };
    let out = match p {
        Phase::Waiting => Out::Waiting(Waiting {}),
        Phase::Offered { agent, until } => Out::Offered(held(agent, *until)),
        Phase::Active { agent } => Out::Active(held(agent, 0)),
        Phase::WrapUp { agent, until } => Out::WrapUp(held(agent, *until)),
        Phase::Deferred { due } => Out::DeferredDue(*due),
        Phase::Closed(how) => Out::Closed(match how {
            Closed::Answered => 1,
            Closed::Abandoned => 2,
            Closed::Expired => 3,
        }),
    };
    log::Phase { phase: Some(out) }
}
pub(super) fn read_phase(p: Option<log::Phase>) -> Read<Phase> {
    use log::phase::Phase as In;
    Ok(match some(p.and_then(|p| p.phase), "phase")? {
        In::Waiting(_) => Phase::Waiting,
        In::Offered(h) => Phase::Offered {
            agent: AgentId(h.agent),
            until: h.until,
        },
        In::Active(h) => Phase::Active {
            agent: AgentId(h.agent),
        },
        In::WrapUp(h) => Phase::WrapUp {
            agent: AgentId(h.agent),
            until: h.until,
        },
        In::DeferredDue(due) => Phase::Deferred { due },
        In::Closed(1) => Phase::Closed(Closed::Answered),
        In::Closed(2) => Phase::Closed(Closed::Abandoned),
        In::Closed(3) => Phase::Closed(Closed::Expired),
        In::Closed(_) => return Err(Corrupt::Missing("phase.closed")),
    })
}

pub(super) fn chat(c: &Chat) -> log::Chat {
    let (languages, language_weights) = wanted(&c.languages);
    log::Chat {
        id: c.id.0.clone(),
        queue: c.queue.0.clone(),
        phase: Some(phase(&c.phase)),
        languages,
        language_weights,
        region: c.region.as_ref().map(|r| r.0.clone()),
        visitor: c.visitor.clone(),
        skills: skills(&c.skills),
        priority: c.priority,
        weight: c.weight,
        topic: c.topic.clone(),
        note: c.note.clone(),
        arrived: c.arrived,
        since: c.since,
        assignment: c.assignment,
        deferrals: c.deferrals,
        refusals: c
            .refusals
            .iter()
            .map(|(a, until)| log::Refusal {
                agent: a.0.clone(),
                until: *until,
            })
            .collect(),
        answered: c.answered,
        answered_by: c.answered_by.as_ref().map(|a| a.0.clone()),
        closed: c.closed,
        stars: c.stars,
        comment: c.comment.clone(),
        events: c.events.iter().map(event).collect(),
        index: c.index,
    }
}
pub(super) fn read_chat(c: log::Chat) -> Read<Chat> {
    Ok(Chat {
        id: ChatId(c.id),
        queue: QueueId(c.queue),
        phase: read_phase(c.phase)?,
        languages: read_wanted(c.languages, &c.language_weights),
        region: c.region.map(RegionId),
        visitor: c.visitor,
        skills: read_skills(c.skills),
        priority: c.priority,
        weight: c.weight,
        topic: c.topic,
        note: c.note,
        arrived: c.arrived,
        since: c.since,
        assignment: c.assignment,
        deferrals: c.deferrals,
        refusals: c
            .refusals
            .into_iter()
            .map(|r| (AgentId(r.agent), r.until))
            .collect(),
        answered: c.answered,
        answered_by: c.answered_by.map(AgentId),
        closed: c.closed,
        stars: c.stars,
        comment: c.comment,
        events: c.events.into_iter().map(read_event).collect::<Read<_>>()?,
        index: c.index,
    })
}

fn event(e: &Event) -> log::Event {
    let candidate = |c: &Candidate| log::Candidate {
        agent: c.agent.0.clone(),
        eligible: c.eligible,
        rule: c.rule as u32,
        reason: c.reason.clone(),
    };
    log::Event {
        index: e.index,
        at: e.at,
        what: e.what as u32,
        agent: e.agent.as_ref().map(|a| a.0.clone()),
        detail: e.detail.clone(),
        candidates: e.candidates.iter().map(candidate).collect(),
    }
}
fn read_event(e: log::Event) -> Read<Event> {
    let candidate = |c: log::Candidate| {
        let rule = Rule::ALL.into_iter().find(|r| *r as u32 == c.rule);
        Ok(Candidate {
            agent: AgentId(c.agent),
            eligible: c.eligible,
            rule: some(rule, "candidate.rule")?,
            reason: c.reason,
        })
    };
    Ok(Event {
        index: e.index,
        at: e.at,
        what: some(
            What::ALL.into_iter().find(|w| *w as u32 == e.what),
            "event.what",
        )?,
        agent: e.agent.map(AgentId),
        detail: e.detail,
        candidates: e
            .candidates
            .into_iter()
            .map(candidate)
            .collect::<Read<_>>()?,
    })
}
