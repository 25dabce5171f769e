//! The model, to and from its durable messages.

use meridian_proto::log::v1 as log;
use meridian_routing::ids::*;
use meridian_routing::language::Resolved;
use meridian_routing::limits::{self, LANGUAGE_WEIGHT_MAX};
use meridian_routing::model::*;
use meridian_routing::state::{AgentState, Tally};

use super::Corrupt;

pub(super) type Read<T> = Result<T, Corrupt>;

pub(super) fn some<T>(value: Option<T>, what: &'static str) -> Read<T> {
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
            skill: s.skill.to_string(),
            level: s.level,
        })
        .collect()
}
pub(super) fn read_skills(skills: Vec<log::SkillLevel>) -> Vec<SkillLevel> {
    skills
        .into_iter()
        .map(|s| SkillLevel {
            skill: SkillId::from(s.skill),
            level: s.level,
        })
        .collect()
}
pub(super) fn tags(languages: &[Language]) -> Vec<String> {
    languages.iter().map(|l| l.to_string()).collect()
}
pub(super) fn read_tags(tags: Vec<String>) -> Vec<Language> {
    ids(tags, Language::from)
}

/// Languages and, where one differs from full, their weights.
pub(super) fn wanted(languages: &[WantedLanguage]) -> (Vec<String>, Vec<u32>) {
    let tags = languages.iter().map(|w| w.language.to_string()).collect();
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
        language: Language::from(tag),
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
        language: r.language.to_string(),
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
        language: Language::from(r.language),
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
        language: l.to_string(),
        accept: tags(accept),
    });
    let load = |l: &Load| log::Load {
        channel: l.channel.clone(),
        kind: l.kind.clone(),
        weight: l.weight,
        interrupting: l.interrupting,
    };
    log::Workspace {
        name: w.name.clone(),
        fallbacks: fallbacks.collect(),
        order: w.order as u32,
        loads: w.loads.iter().map(load).collect(),
        break_after_ms: w.break_after_ms,
        break_ms: w.break_ms,
    }
}
pub(super) fn read_workspace(w: log::Workspace) -> Read<Workspace> {
    let load = |l: log::Load| Load {
        channel: l.channel,
        kind: l.kind,
        weight: l.weight,
        interrupting: l.interrupting,
    };
    let fallbacks = w
        .fallbacks
        .into_iter()
        .map(|f| (Language::from(f.language), read_tags(f.accept)));
    Ok(Workspace {
        name: w.name,
        fallbacks: fallbacks.collect(),
        order: match w.order {
            0 | 1 => Order::Arrival,
            2 => Order::Deadline,
            _ => return Err(Corrupt::Missing("workspace.order")),
        },
        loads: w.loads.into_iter().map(load).collect(),
        break_after_ms: w.break_after_ms,
        break_ms: w.break_ms,
    })
}

pub(super) fn region(r: &Region) -> log::Region {
    log::Region {
        id: r.id.to_string(),
        zone: r.zone.clone(),
        schedule: r.schedule.to_string(),
        neighbours: names(&r.neighbours),
    }
}
pub(super) fn read_region(r: log::Region) -> Region {
    Region {
        id: RegionId::from(r.id),
        zone: r.zone,
        schedule: ScheduleId::from(r.schedule),
        neighbours: ids(r.neighbours, RegionId::from),
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
        id: s.id.to_string(),
        edges: edges.collect(),
        horizon: s.horizon,
        zone_data: s.zone_data.clone(),
        source: s.source.clone(),
        last_offer_ms: s.last_offer_ms,
        handover_ms: s.handover_ms,
        handover_to_line: s.handover_to_line,
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
        id: ScheduleId::from(s.id),
        spans,
        horizon: s.horizon,
        zone_data: s.zone_data,
        source: s.source,
        last_offer_ms: s.last_offer_ms,
        handover_ms: s.handover_ms,
        handover_to_line: s.handover_to_line,
    })
}

fn names(regions: &[RegionId]) -> Vec<String> {
    regions.iter().map(|r| r.to_string()).collect()
}

fn step(s: &RelaxationStep) -> log::Step {
    log::Step {
        after_ms: s.after_ms,
        language_level: level(s.language_level),
        language_distance_max: Some(s.language_distance_max),
        language_weight_min: Some(s.language_weight_min),
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        regions: names(&s.regions),
        skills_off: s.skills_off.iter().map(|s| s.to_string()).collect(),
        near: s.near,
        prefer_regions: names(&s.prefer_regions),
        prefer_skills: skills(&s.prefer_skills),
        rank_max: s.rank_max,
        skip_if_nobody: s.skip_if_nobody,
    }
}
fn read_step(s: log::Step) -> Read<RelaxationStep> {
    Ok(RelaxationStep {
        after_ms: s.after_ms,
        language_level: read_level(s.language_level)?,
        language_distance_max: s.language_distance_max.unwrap_or(NEAR_BEFORE),
        language_weight_min: s.language_weight_min.unwrap_or(LANGUAGE_WEIGHT_MAX + 1),
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        skills_off: ids(s.skills_off, SkillId::from),
        regions: ids(s.regions, RegionId::from),
        near: s.near,
        prefer_regions: ids(s.prefer_regions, RegionId::from),
        prefer_skills: read_skills(s.prefer_skills),
        rank_max: or(s.rank_max, limits::RANK_MAX),
        skip_if_nobody: s.skip_if_nobody,
    })
}

/// What is not written takes the value it had before it could be.
fn or(written: u32, before: u32) -> u32 {
    if written == 0 { before } else { written }
}

pub(super) fn queue(q: &Queue) -> log::Queue {
    let overflow = |o: &Overflow| log::Overflow {
        after_ms: o.after_ms,
        queue: o.queue.to_string(),
        waiting_min: o.waiting_min,
        no_agent: o.no_agent,
        service_level_below: o.service_level_below,
    };
    log::Queue {
        id: q.id.to_string(),
        schedule: q.schedule.as_ref().map(|s| s.to_string()),
        steps: q.steps.iter().map(step).collect(),
        offer_timeout_ms: q.offer_timeout_ms,
        offer_to: q.offer_to,
        auto_accept: q.auto_accept,
        decline_reasons: q.decline_reasons.clone(),
        refusal_ms: Some(q.refusal_ms),
        ignored_max: q.ignored_max,
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        priority: q.priority,
        vip_priority: q.vip_priority,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        service_level: q.service_level,
        overflow_queue: None,
        overflow_after_ms: 0,
        overflow: q.overflow.iter().map(overflow).collect(),
        strategy: q.strategy as u32,
        sticky_ms: q.sticky_ms,
        hold_agent_ms: q.hold_agent_ms,
        hold_team_ms: q.hold_team_ms,
        staff_min: q.staff_min,
    }
}
pub(super) fn read_queue(q: log::Queue) -> Read<Queue> {
    let overflow = |o: log::Overflow| Overflow {
        after_ms: o.after_ms,
        queue: QueueId::from(o.queue),
        waiting_min: o.waiting_min,
        no_agent: o.no_agent,
        service_level_below: o.service_level_below,
    };
    let before = q.overflow_queue.map(|queue| Overflow {
        after_ms: q.overflow_after_ms,
        queue: QueueId::from(queue),
        ..Overflow::default()
    });
    let overflow = q.overflow.into_iter().map(overflow);
    Ok(Queue {
        id: QueueId::from(q.id),
        schedule: q.schedule.map(ScheduleId::from),
        steps: q.steps.into_iter().map(read_step).collect::<Read<_>>()?,
        offer_timeout_ms: q.offer_timeout_ms,
        offer_to: or(q.offer_to, 1),
        auto_accept: q.auto_accept,
        decline_reasons: q.decline_reasons,
        refusal_ms: q.refusal_ms.unwrap_or(limits::REFUSAL_MS),
        ignored_max: or(q.ignored_max, limits::IGNORED_MAX),
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        priority: q.priority,
        vip_priority: q.vip_priority,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        service_level: q.service_level,
        overflow: overflow.chain(before).collect(),
        strategy: match q.strategy {
            0 | 1 => Strategy::LeastOccupied,
            2 => Strategy::LongestIdle,
            3 => Strategy::RoundRobin,
            4 => Strategy::Weighted,
            5 => Strategy::MostSkilled,
            _ => return Err(Corrupt::Missing("queue.strategy")),
        },
        sticky_ms: q.sticky_ms,
        hold_agent_ms: q.hold_agent_ms,
        hold_team_ms: q.hold_team_ms,
        staff_min: q.staff_min,
    })
}

pub(super) fn agent(a: &Agent) -> log::Agent {
    let plain = |s: &Served| s.rank == 1 && s.chats_max == 0;
    let served = |s: &Served| log::Served {
        rank: s.rank,
        chats_max: s.chats_max,
    };
    let served = if a.queues.iter().all(plain) {
        Vec::new()
    } else {
        a.queues.iter().map(served).collect()
    };
    let ramp = |r: &Ramp| log::Ramp {
        until: r.until,
        capacity: r.capacity,
    };
    let language = |l: &LanguageLevel| log::LanguageLevel {
        language: l.language.to_string(),
        level: level(l.level),
    };
    log::Agent {
        id: a.id.to_string(),
        name: a.name.clone(),
        region: a.region.to_string(),
        schedule: a.schedule.as_ref().map(|s| s.to_string()),
        languages: a.languages.iter().map(language).collect(),
        skills: skills(&a.skills),
        queues: a.queues.iter().map(|s| s.queue.to_string()).collect(),
        served,
        capacity: a.capacity,
        extra: a.extra,
        ramp_up: a.ramp_up.iter().map(ramp).collect(),
        team: a.team.clone(),
        share: a.share,
        bot: a.bot,
    }
}
pub(super) fn read_agent(a: log::Agent) -> Read<Agent> {
    let language = |l: log::LanguageLevel| {
        Ok(LanguageLevel {
            language: Language::from(l.language),
            level: read_level(l.level)?,
        })
    };
    let mut served = a.served.into_iter();
    let queue = |queue: String| {
        let how = served.next().unwrap_or_default();
        Served {
            queue: QueueId::from(queue),
            rank: or(how.rank, 1),
            chats_max: how.chats_max,
        }
    };
    let ramp = |r: log::Ramp| Ramp {
        until: r.until,
        capacity: r.capacity,
    };
    Ok(Agent {
        id: AgentId::from(a.id),
        name: a.name,
        region: RegionId::from(a.region),
        team: a.team,
        schedule: a.schedule.map(ScheduleId::from),
        languages: a.languages.into_iter().map(language).collect::<Read<_>>()?,
        skills: read_skills(a.skills),
        queues: a.queues.into_iter().map(queue).collect(),
        capacity: a.capacity,
        extra: a.extra,
        ramp_up: a.ramp_up.into_iter().map(ramp).collect(),
        share: or(a.share, limits::SHARE_USUAL),
        bot: a.bot,
    })
}

pub(super) fn agent_state(a: &AgentState) -> log::AgentState {
    let t = a.tally;
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
        turn: a.turn,
        pass: a.pass,
        tally: (t != Tally::default()).then_some(log::Tally {
            offers: t.offers,
            accepted: t.accepted,
            declined: t.declined,
            ignored: t.ignored,
            handled: t.handled,
            handle_ms: t.handle_ms,
        }),
        working_since: a.working_since,
        stopped_at: a.stopped_at,
        break_due: a.break_due,
    }
}
pub(super) fn read_agent_state(a: log::AgentState) -> Read<AgentState> {
    let t = a.tally.unwrap_or_default();
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
        turn: a.turn,
        pass: a.pass,
        tally: Tally {
            offers: t.offers,
            accepted: t.accepted,
            declined: t.declined,
            ignored: t.ignored,
            handled: t.handled,
            handle_ms: t.handle_ms,
        },
        working_since: a.working_since,
        stopped_at: a.stopped_at,
        break_due: a.break_due,
    })
}
