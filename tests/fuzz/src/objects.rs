//! What commands of the fuzzer's are made of: names from a few, numbers near a bound or usual, now and then anything; and a
//! small world to begin with.

use meridian_routing::command::{ConfigChange, NewChat, TransferTo};
use meridian_routing::ids::*;
use meridian_routing::language::Resolved;
use meridian_routing::limits;
use meridian_routing::model::*;

use crate::source::Source;

pub const QUEUES: [&str; 4] = ["a", "b", "c", "none"];
pub const REGIONS: [&str; 3] = ["eu", "us", "none"];
pub const SCHEDULES: [&str; 4] = ["day", "night", "always", "none"];
pub const AGENTS: [&str; 6] = ["a1", "a2", "a3", "a4", "b1", "none"];
pub const LANGUAGES: [&str; 6] = ["en", "es", "pt", "pt-BR", "ca", "x"];
pub const SKILLS: [&str; 3] = ["billing", "tech", "vip"];
/// What is near a bound, or usual.
pub const TIMES: [u32; 12] = [
    0, 1, 999, 1_000, 5_000, 20_000, 60_000, 600_000, 3_600_000, 3_600_001, 86_400_000, 86_400_001,
];
pub const SMALL: [u32; 10] = [1, 0, 2, 3, 5, 9, 10, 100, 1_000, 1_001];

pub fn chat_id(source: &mut Source<'_>) -> ChatId {
    match source.below(32) {
        31 => ChatId::from("x".repeat(source.of(&[0, 64, 65, 80, 81]))),
        n => ChatId::from(format!("c{n}")),
    }
}

pub fn node(source: &mut Source<'_>) -> NodeId {
    source.of(&[1, 2, 3, 0, u64::MAX])
}

pub fn text(source: &mut Source<'_>) -> String {
    match source.below(16) {
        15 => "x".repeat(source.of(&[256, 257, 4_096, 4_097])),
        n if n > 10 => "é".to_owned(),
        _ => String::new(),
    }
}

/// Mostly one of these.
pub fn number(source: &mut Source<'_>, usual: &[u32]) -> u32 {
    match source.below(32) {
        31 => source.u64() as u32,
        30 => source.of(&[0, u32::MAX]),
        _ => source.of(usual),
    }
}

pub fn skill(source: &mut Source<'_>) -> SkillLevel {
    SkillLevel {
        skill: source.of(&SKILLS).into(),
        level: number(source, &[1, 2, 5, 10, 11]),
    }
}

pub fn toward(source: &mut Source<'_>) -> Toward {
    Toward {
        region: source.of(&REGIONS).into(),
        hold_ms: number(source, &TIMES),
    }
}

pub fn to(source: &mut Source<'_>) -> TransferTo {
    match source.below(4) {
        0 => TransferTo::Queue(source.of(&QUEUES).into()),
        1 => TransferTo::Agent(source.of(&AGENTS).into()),
        2 => TransferTo::Skills(source.some(2, skill)),
        _ => TransferTo::Region(toward(source)),
    }
}

pub fn new_chat(source: &mut Source<'_>) -> NewChat {
    let languages = 1 + source.below(2);
    NewChat {
        chat: chat_id(source),
        queue: source.of(&QUEUES).into(),
        languages: (0..languages)
            .map(|_| WantedLanguage {
                language: source.of(&LANGUAGES).into(),
                weight: number(source, &[1_000, 500, 100, 1_001]),
            })
            .collect(),
        resolved: source.some(1, resolved),
        region: source.once_in(4).then(|| source.of(&REGIONS).into()),
        visitor: source.of(&["", "v1", "v2"]).to_owned(),
        skills: match source.once_in(4) {
            true => source.some(2, skill),
            false => Vec::new(),
        },
        priority: number(source, &[0, 0, 5, 9, 10]),
        vip: source.once_in(8),
        channel: source.of(&["", "chat", "sms", "E mail"]).to_owned(),
        kind: source.of(&["", "sales"]).to_owned(),
        weight: number(source, &[0, 1, 2, 3, 100, 101]),
        owner: source.once_in(8).then(|| source.of(&AGENTS).into()),
        topic: text(source),
        lease_ms: number(source, &[0, 0, 5_000, 20_000, 600_000, 600_001]),
    }
}

pub fn resolved(source: &mut Source<'_>) -> Resolved {
    Resolved {
        language: source.of(&LANGUAGES).into(),
        data: source.of(&["47", "48", ""]).to_owned(),
        key: source.of(&["en-Latn", "es-Latn", "pt-Latn", ""]).to_owned(),
        region: source.of(&["US", "ES", "BR"]).to_owned(),
        group: source.of(&SMALL),
        paradigm: source.once_in(2),
        near: source.some(2, |s| {
            let key = s.of(&["en-Latn", "es-", "pt-", ""]);
            (key.to_owned(), number(s, &[0, 10, 90, 799, 800]))
        }),
        regions: source.some(2, |s| (s.of(&SMALL), number(s, &[0, 40, 799]))),
        elsewhere: number(source, &[50, 0, 799, 800]),
    }
}

pub fn change(source: &mut Source<'_>) -> ConfigChange {
    match source.below(16) {
        0 => ConfigChange::PutWorkspace(workspace(source)),
        1 => ConfigChange::PutRegion(region(source)),
        2 => ConfigChange::PutSchedule(schedule(source)),
        3 => ConfigChange::ExtendSchedule(schedule(source)),
        4..8 => ConfigChange::PutQueue(queue(source)),
        8..11 => ConfigChange::PutAgent(agent(source)),
        11 => ConfigChange::LearnLanguage(resolved(source)),
        12 => ConfigChange::RemoveRegion(source.of(&REGIONS).into()),
        13 => ConfigChange::RemoveSchedule(source.of(&SCHEDULES).into()),
        14 => ConfigChange::RemoveQueue(source.of(&QUEUES).into()),
        _ => ConfigChange::RemoveAgent(source.of(&AGENTS).into()),
    }
}

pub fn workspace(source: &mut Source<'_>) -> Workspace {
    Workspace {
        name: "acme".to_owned(),
        fallbacks: source.some(2, |s| {
            let accept = s.some(2, |s| s.of(&LANGUAGES).into());
            (s.of(&LANGUAGES).into(), accept)
        }),
        order: source.of(&[Order::Arrival, Order::Deadline]),
        loads: source.some(3, |s| Load {
            channel: s.of(&["chat", "sms"]).to_owned(),
            kind: s.of(&["", "sales"]).to_owned(),
            weight: number(s, &[1, 2, 3, 100]),
            interrupting: s.once_in(2),
        }),
        break_after_ms: number(source, &TIMES),
        break_ms: number(source, &TIMES),
    }
}

pub fn region(source: &mut Source<'_>) -> Region {
    Region {
        id: source.of(&REGIONS[..2]).into(),
        zone: "UTC".to_owned(),
        schedule: source.of(&SCHEDULES).into(),
        neighbours: source.some(2, |s| s.of(&REGIONS).into()),
    }
}

pub fn schedule(source: &mut Source<'_>) -> Schedule {
    let mut at = 0;
    let spans = source.some(4, |s| {
        let start = at + i64::from(s.of(&TIMES)) * s.below(12) as i64;
        at = start + i64::from(s.of(&TIMES[1..])) * s.below(12) as i64;
        match s.once_in(32) {
            true => Span {
                start: s.u64() as i64,
                end: s.u64() as i64,
            },
            false => Span { start, end: at },
        }
    });
    Schedule {
        id: source.of(&SCHEDULES[..3]).into(),
        spans,
        horizon: source.of(&[i64::MAX, 86_400_000, 0]),
        zone_data: source.of(&["", "2026a", "2026b"]).to_owned(),
        source: source.bytes(4).to_vec(),
        last_offer_ms: number(source, &TIMES),
        handover_ms: number(source, &TIMES),
        handover_to_line: source.once_in(2),
    }
}

pub fn step(source: &mut Source<'_>) -> RelaxationStep {
    RelaxationStep {
        after_ms: 0,
        language_level: source.of(&[
            Level::Fluent,
            Level::Translated,
            Level::Working,
            Level::Native,
        ]),
        language_distance_max: number(source, &[90, 0, 799, 800]),
        language_weight_min: number(source, &[1_001, 0, 100]),
        fallback_languages: source.once_in(2),
        skill_levels_off: source.of(&SMALL),
        skills_off: source.some(1, |s| s.of(&SKILLS).into()),
        regions: source.some(1, |s| s.of(&REGIONS).into()),
        near: source.of(&[None, None, Some(0), Some(1), Some(u32::MAX)]),
        prefer_regions: source.some(1, |s| s.of(&REGIONS).into()),
        prefer_skills: source.some(1, skill),
        rank_max: number(source, &[9, 1, 2]),
        skip_if_nobody: source.once_in(2),
    }
}

pub fn queue(source: &mut Source<'_>) -> Queue {
    let mut steps = vec![step(source)];
    for n in 0..source.below(3) as u32 {
        steps.push(RelaxationStep {
            after_ms: number(source, &[1_000 * (n + 1), 20_000 * (n + 1)]),
            ..step(source)
        });
    }
    Queue {
        id: source.of(&QUEUES[..3]).into(),
        schedule: source.once_in(3).then(|| source.of(&SCHEDULES).into()),
        steps,
        offer_timeout_ms: number(source, &[20_000, 1_000, 3_600_000]),
        offer_to: number(source, &[1, 1, 2, 16]),
        auto_accept: source.once_in(4),
        decline_reasons: source.some(1, |_| "busy".to_owned()),
        refusal_ms: number(source, &TIMES),
        ignored_max: number(source, &[1, 3, 100]),
        wrap_up_ms: number(source, &TIMES[..9]),
        wait_ms_max: number(source, &TIMES[3..]),
        waiting_max: number(source, &[100, 1, 2]),
        priority: number(source, &[0, 9]),
        vip_priority: number(source, &[0, 3]),
        ageing_ms: number(source, &TIMES),
        answer_target_ms: number(source, &TIMES),
        service_level: number(source, &[0, 50, 100]),
        overflow: source.some(2, |s| Overflow {
            after_ms: number(s, &TIMES),
            queue: s.of(&QUEUES).into(),
            waiting_min: number(s, &[0, 0, 1, 3]),
            no_agent: s.once_in(4),
            service_level_below: number(s, &[0, 0, 50, 100]),
        }),
        strategy: source.of(&[
            Strategy::LeastOccupied,
            Strategy::LongestIdle,
            Strategy::RoundRobin,
            Strategy::Weighted,
            Strategy::MostSkilled,
        ]),
        sticky_ms: number(source, &TIMES),
        hold_agent_ms: number(source, &TIMES[..9]),
        hold_team_ms: number(source, &TIMES[..9]),
        staff_min: number(source, &[0, 0, 1, 2]),
    }
}

pub fn agent(source: &mut Source<'_>) -> Agent {
    let capacity = number(source, &[1, 2, 3, 9, 1_000]);
    Agent {
        id: source.of(&AGENTS[..5]).into(),
        name: "A".to_owned(),
        region: source.of(&REGIONS).into(),
        team: source.of(&["", "red", "blue"]).to_owned(),
        schedule: source.once_in(3).then(|| source.of(&SCHEDULES).into()),
        languages: source
            .some(2, |s| LanguageLevel {
                language: s.of(&LANGUAGES).into(),
                level: s.of(&[Level::Native, Level::Fluent, Level::Working]),
            })
            .into_iter()
            .chain([LanguageLevel {
                language: "nl".into(),
                level: Level::Fluent,
            }])
            .collect(),
        skills: source.some(2, skill),
        queues: source
            .some(2, |s| Served {
                queue: s.of(&QUEUES).into(),
                rank: number(s, &[1, 2, 9]),
                chats_max: number(s, &[0, 0, 1]),
            })
            .into_iter()
            .collect(),
        capacity,
        extra: number(source, &[0, 1, 1_000]),
        ramp_up: source.some(2, |s| Ramp {
            until: 3_600_000 * (1 + s.below(10) as i64),
            capacity: number(s, &[1, 2]),
        }),
        share: number(source, &[100, 1, 1_000]),
        bot: source.once_in(8),
    }
}

/// Two regions, three queues that overflow into each other, and five agents.
pub fn world() -> Vec<ConfigChange> {
    let hour = 3_600_000;
    let schedule = |id: &str, spans: &[(i64, i64)], last_offer_ms, handover_ms| {
        let span = |(start, end): &(i64, i64)| Span {
            start: start * hour,
            end: end * hour,
        };
        ConfigChange::PutSchedule(Schedule {
            id: id.into(),
            spans: spans.iter().map(span).collect(),
            horizon: i64::MAX,
            zone_data: String::new(),
            source: Vec::new(),
            last_offer_ms,
            handover_ms,
            handover_to_line: true,
        })
    };
    let region = |id: &str, schedule: &str, near: &[&str]| {
        ConfigChange::PutRegion(Region {
            id: id.into(),
            zone: "UTC".to_owned(),
            schedule: schedule.into(),
            neighbours: near.iter().map(|n| (*n).into()).collect(),
        })
    };
    let speaks = |tags: &[&str]| {
        let native = |tag: &&str| LanguageLevel {
            language: (*tag).into(),
            level: Level::Native,
        };
        tags.iter().map(native).collect::<Vec<_>>()
    };
    let agent = |id: &str, tags: &[&str], queues: &[&str], capacity| Agent {
        id: id.into(),
        name: id.to_owned(),
        region: "eu".into(),
        languages: speaks(tags),
        queues: queues.iter().map(|q| Served::from(*q)).collect(),
        capacity,
        ..Agent::default()
    };
    let put = ConfigChange::PutAgent;
    vec![
        schedule("day", &[(0, 8), (24, 32), (48, 56)], 1_200_000, 600_000),
        schedule("night", &[(7, 17), (31, 41)], 0, 300_000),
        schedule("always", &[(0, 9_000)], 0, 0),
        region("us", "night", &[]),
        region("eu", "day", &["us"]),
        ConfigChange::PutQueue(Queue {
            id: "b".into(),
            schedule: Some("day".into()),
            wait_ms_max: 120_000,
            offer_to: 2,
            strategy: Strategy::Weighted,
            ..Queue::default()
        }),
        ConfigChange::PutQueue(Queue {
            id: "a".into(),
            wrap_up_ms: 10_000,
            sticky_ms: 300_000,
            hold_agent_ms: 20_000,
            overflow: vec![Overflow {
                after_ms: 40_000,
                queue: "b".into(),
                ..Overflow::default()
            }],
            steps: vec![
                RelaxationStep::default(),
                RelaxationStep {
                    after_ms: 30_000,
                    language_distance_max: limits::LANGUAGE_DISTANCE_MAX,
                    language_level: Level::Working,
                    fallback_languages: true,
                    ..RelaxationStep::default()
                },
            ],
            ..Queue::default()
        }),
        ConfigChange::PutQueue(Queue {
            id: "c".into(),
            auto_accept: true,
            strategy: Strategy::RoundRobin,
            ..Queue::default()
        }),
        put(agent("a1", &["en", "es"], &["a", "c"], 2)),
        put(Agent {
            schedule: Some("day".into()),
            skills: vec![SkillLevel {
                skill: "billing".into(),
                level: 4,
            }],
            team: "red".to_owned(),
            extra: 1,
            ..agent("a2", &["pt-BR", "es"], &["a", "b"], 3)
        }),
        put(Agent {
            region: "us".into(),
            schedule: Some("night".into()),
            share: 300,
            ..agent("a3", &["en"], &["b", "c"], 1)
        }),
        put(agent("a4", &["en", "ca"], &["a", "b"], 4)),
        put(Agent {
            bot: true,
            ..agent("b1", &["en", "es"], &["a", "c"], 9)
        }),
    ]
}
