//! Workspace, regions, queues and agents, from the file to the API's messages.

use meridian_proto::livechat::v1::{
    Agent, Configuration, LanguageFallback, LanguageLevel, LanguageReach, Overflow, Queue, Region,
    RelaxationStep, SkillLevel, SpokenLanguage, Workspace,
};

use super::hours;
use super::reader::{Field, Reader, Seen};
use super::references::{Kind, References};
use super::tree::Node;

/// Longest duration of most fields: a day.
const DAY_MS: u32 = 86_400_000;
/// Levels of a language, the lowest first.
pub const LEVELS: [(&str, LanguageLevel); 4] = [
    ("translated", LanguageLevel::Translated),
    ("working", LanguageLevel::Working),
    ("fluent", LanguageLevel::Fluent),
    ("native", LanguageLevel::Native),
];

/// Reads the whole file.
pub fn configuration(reader: &mut Reader, refs: &mut References, root: &Node) -> Configuration {
    let whole = Field {
        path: String::new(),
        node: Some(root),
        at: root.at,
    };
    let known = ["workspace", "regions", "schedules", "queues", "agents"];
    let Some(file) = reader.object(&whole, &known) else {
        return Configuration::default();
    };
    Configuration {
        workspace: workspace(reader, &file.field("workspace")),
        regions: each(reader, refs, Kind::Region, &file.field("regions"), region),
        schedules: each(
            reader,
            refs,
            Kind::Schedule,
            &file.field("schedules"),
            hours::schedule,
        ),
        queues: each(reader, refs, Kind::Queue, &file.field("queues"), queue),
        agents: each(reader, refs, Kind::Agent, &file.field("agents"), agent),
    }
}

fn each<T>(
    reader: &mut Reader,
    refs: &mut References,
    kind: Kind,
    list: &Field<'_>,
    read: fn(&mut Reader, &mut References, &Field<'_>) -> Option<(String, T)>,
) -> Vec<T> {
    let mut seen = Seen::default();
    let mut objects = Vec::new();
    for field in reader.list(list, 0, usize::MAX) {
        let Some((id, object)) = read(reader, refs, &field) else {
            continue;
        };
        let id_field = Field {
            path: format!("{}.id", field.path),
            ..field
        };
        let id_at = id_field
            .node
            .and_then(|n| super::tree::locate(n, "id"))
            .map(|n| n.at);
        let id_field = Field {
            at: id_at.unwrap_or(id_field.at),
            ..id_field
        };
        if !id.is_empty() {
            reader.once(&mut seen, &id_field, &id);
            refs.define(kind, &id);
        }
        objects.push(object);
    }
    objects
}

fn workspace(reader: &mut Reader, field: &Field<'_>) -> Option<Workspace> {
    let object = reader.object(field, &["name", "fallbacks"])?;
    let name = reader.name(&object.field("name"), 128);
    let mut seen = Seen::default();
    let mut fallbacks = Vec::new();
    for field in reader.list(&object.field("fallbacks"), 0, 256) {
        let Some(object) = reader.object(&field, &["language", "accept"]) else {
            continue;
        };
        let language = language_once(reader, &mut seen, &object.field("language"));
        let accept = languages(reader, &object.field("accept"), 1, 8);
        fallbacks.push(LanguageFallback { language, accept });
    }
    Some(Workspace { name, fallbacks })
}

fn language_once(reader: &mut Reader, seen: &mut Seen, field: &Field<'_>) -> String {
    let tag = reader.language(field).unwrap_or_default();
    if !tag.is_empty() {
        // Case means nothing in a tag.
        reader.once(seen, field, &tag.to_ascii_lowercase());
    }
    tag
}

fn languages(reader: &mut Reader, field: &Field<'_>, min: usize, max: usize) -> Vec<String> {
    let mut seen = Seen::default();
    let list = reader.list(field, min, max);
    list.iter()
        .map(|f| language_once(reader, &mut seen, f))
        .collect()
}

/// A list of ids of one kind, none twice.
fn ids(
    reader: &mut Reader,
    refs: &mut References,
    kind: Kind,
    field: &Field<'_>,
    (min, max): (usize, usize),
) -> Vec<String> {
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for element in reader.list(field, min, max) {
        let Some(id) = reader.id(&element) else {
            continue;
        };
        reader.once(&mut seen, &element, &id);
        refs.refer(kind, &id, &element);
        found.push(id);
    }
    found
}

fn reference_if_given(
    reader: &mut Reader,
    refs: &mut References,
    kind: Kind,
    field: &Field<'_>,
) -> String {
    let Some(id) = reader.id_if_given(field) else {
        return String::new();
    };
    refs.refer(kind, &id, field);
    id
}

fn reference(reader: &mut Reader, refs: &mut References, kind: Kind, field: &Field<'_>) -> String {
    let Some(id) = reader.id(field) else {
        return String::new();
    };
    refs.refer(kind, &id, field);
    id
}

fn region(
    reader: &mut Reader,
    refs: &mut References,
    field: &Field<'_>,
) -> Option<(String, Region)> {
    let object = reader.object(field, &["id", "zone", "schedule"])?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let zone = hours::zone(reader, &object.field("zone"));
    let schedule = reference(reader, refs, Kind::Schedule, &object.field("schedule"));
    Some((id.clone(), Region { id, zone, schedule }))
}

fn level(reader: &mut Reader, field: &Field<'_>) -> i32 {
    let words = LEVELS.map(|(word, _)| word);
    let rule = format!("{} or {}", words[..3].join(", "), words[3]);
    let Some(text) = reader.text(field, &rule) else {
        return 0;
    };
    match LEVELS.iter().find(|(word, _)| *word == text) {
        Some((_, level)) => *level as i32,
        None => {
            reader.complain(field, format!("'{text}' is not a level; give {rule}"));
            0
        }
    }
}

/// Reaches of a language, the shortest first.
pub const REACHES: [(&str, LanguageReach); 4] = [
    ("exact", LanguageReach::Exact),
    ("near", LanguageReach::Near),
    ("far", LanguageReach::Far),
    ("script", LanguageReach::Script),
];

/// How far a language may be; `near` where it is left out.
fn reach(reader: &mut Reader, field: &Field<'_>) -> i32 {
    if field.node.is_none() {
        return LanguageReach::Near as i32;
    }
    let rule = "exact, near, far or script";
    let Some(text) = reader.text(field, rule) else {
        return 0;
    };
    match REACHES.iter().find(|(word, _)| *word == text) {
        Some((_, reach)) => *reach as i32,
        None => {
            reader.complain(field, format!("'{text}' is not a reach; give {rule}"));
            0
        }
    }
}

fn queue(reader: &mut Reader, refs: &mut References, field: &Field<'_>) -> Option<(String, Queue)> {
    let known = [
        "id",
        "schedule",
        "steps",
        "offer_timeout",
        "wrap_up",
        "wait_max",
        "waiting_max",
        "ageing",
        "answer_target",
        "overflow",
        "sticky",
    ];
    let object = reader.object(field, &known)?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let schedule = reference_if_given(reader, refs, Kind::Schedule, &object.field("schedule"));
    let steps = steps(reader, refs, &object.field("steps"));
    let queue = Queue {
        id: id.clone(),
        schedule,
        steps,
        offer_timeout_ms: reader.millis(&object.field("offer_timeout"), 1_000, 3_600_000),
        wrap_up_ms: reader.millis(&object.field("wrap_up"), 0, 3_600_000),
        wait_ms_max: reader.millis(&object.field("wait_max"), 1_000, DAY_MS),
        waiting_max: reader.whole(&object.field("waiting_max"), 1, 1_000_000, Some(0)),
        ageing_ms: reader.millis(&object.field("ageing"), 0, DAY_MS),
        answer_target_ms: reader.millis(&object.field("answer_target"), 1, DAY_MS),
        overflow: overflow(reader, refs, &id, &object.field("overflow")),
        sticky_ms: reader.millis(&object.field("sticky"), 0, DAY_MS),
    };
    Some((id, queue))
}

fn overflow(
    reader: &mut Reader,
    refs: &mut References,
    from: &str,
    field: &Field<'_>,
) -> Option<Overflow> {
    let object = reader.object(field, &["after", "queue"])?;
    let after_ms = reader.millis(&object.field("after"), 0, DAY_MS);
    let to = object.field("queue");
    let queue = reference(reader, refs, Kind::Queue, &to);
    if !queue.is_empty() && !from.is_empty() {
        refs.overflow(from, &queue, &to);
    }
    Some(Overflow { after_ms, queue })
}

fn steps(reader: &mut Reader, refs: &mut References, list: &Field<'_>) -> Vec<RelaxationStep> {
    let known = [
        "after",
        "language_level",
        "language_reach",
        "language_weight",
        "fallback_languages",
        "skill_levels_off",
        "regions",
    ];
    let mut steps: Vec<RelaxationStep> = Vec::new();
    for field in reader.list(list, 0, usize::MAX) {
        let Some(object) = reader.object(&field, &known) else {
            continue;
        };
        let after = object.field("after");
        let after_ms = reader.millis(&after, 0, DAY_MS);
        match steps.last() {
            None if after_ms != 0 => {
                reader.complain(&after, "the first step must hold from the start; give 0s");
            }
            Some(last) if after_ms <= last.after_ms => {
                let last = crate::time::format_millis(last.after_ms.into());
                reader.complain(&after, format!("steps must rise; give more than {last}"));
            }
            _ => {}
        }
        steps.push(RelaxationStep {
            after_ms,
            language_level: level(reader, &object.field("language_level")),
            language_reach: reach(reader, &object.field("language_reach")),
            language_weight: reader.whole(&object.field("language_weight"), 0, 100, Some(0)),
            fallback_languages: reader.flag(&object.field("fallback_languages")),
            skill_levels_off: reader.whole(&object.field("skill_levels_off"), 0, 10, Some(0)),
            regions: ids(
                reader,
                refs,
                Kind::Region,
                &object.field("regions"),
                (0, usize::MAX),
            ),
        });
    }
    steps
}

fn agent(reader: &mut Reader, refs: &mut References, field: &Field<'_>) -> Option<(String, Agent)> {
    let known = [
        "id",
        "name",
        "region",
        "schedule",
        "languages",
        "skills",
        "queues",
        "capacity",
    ];
    let object = reader.object(field, &known)?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let agent = Agent {
        id: id.clone(),
        name: reader.name(&object.field("name"), 128),
        region: reference(reader, refs, Kind::Region, &object.field("region")),
        schedule: reference_if_given(reader, refs, Kind::Schedule, &object.field("schedule")),
        languages: spoken(reader, &object.field("languages")),
        skills: skills(reader, &object.field("skills")),
        queues: ids(reader, refs, Kind::Queue, &object.field("queues"), (1, 64)),
        capacity: reader.whole(&object.field("capacity"), 1, 1_000, None),
    };
    Some((id, agent))
}

fn spoken(reader: &mut Reader, list: &Field<'_>) -> Vec<SpokenLanguage> {
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for field in reader.list(list, 1, 32) {
        let Some(object) = reader.object(&field, &["language", "level"]) else {
            continue;
        };
        let language = language_once(reader, &mut seen, &object.field("language"));
        let level = level(reader, &object.field("level"));
        found.push(SpokenLanguage { language, level });
    }
    found
}

fn skills(reader: &mut Reader, list: &Field<'_>) -> Vec<SkillLevel> {
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for field in reader.list(list, 0, 64) {
        let Some(object) = reader.object(&field, &["skill", "level"]) else {
            continue;
        };
        let name = object.field("skill");
        let skill = reader.name(&name, 64);
        if !skill.is_empty() {
            reader.once(&mut seen, &name, &skill);
        }
        let level = reader.whole(&object.field("level"), 1, 10, None);
        found.push(SkillLevel { skill, level });
    }
    found
}
