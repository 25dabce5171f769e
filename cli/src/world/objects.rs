//! Workspace, regions, queues and agents, from the file to the API's messages.

mod agent;
mod queue;

use meridian_proto::livechat::v1::{
    ChatOrder, Configuration, LanguageFallback, LanguageLevel, Load, Region, SkillLevel, Workspace,
};
pub use queue::{REACHES, STRATEGIES};

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
        queues: each(
            reader,
            refs,
            Kind::Queue,
            &file.field("queues"),
            queue::queue,
        ),
        agents: each(
            reader,
            refs,
            Kind::Agent,
            &file.field("agents"),
            agent::agent,
        ),
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
    let known = [
        "name",
        "fallbacks",
        "order",
        "loads",
        "break_after",
        "break",
    ];
    let object = reader.object(field, &known)?;
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
    Some(Workspace {
        name,
        fallbacks,
        order: word(
            reader,
            &object.field("order"),
            &ORDERS,
            ChatOrder::Unspecified,
        ) as i32,
        loads: loads(reader, &object.field("loads")),
        break_after_ms: reader.millis(&object.field("break_after"), 0, DAY_MS),
        break_ms: reader.millis(&object.field("break"), 0, DAY_MS),
    })
}

/// What orders the chats that wait.
pub const ORDERS: [(&str, ChatOrder); 2] = [
    ("arrival", ChatOrder::Arrival),
    ("deadline", ChatOrder::Deadline),
];

/// One of several words; the usual one where it is left out.
fn word<T: Copy>(reader: &mut Reader, field: &Field<'_>, words: &[(&str, T)], usual: T) -> T {
    if field.node.is_none() {
        return usual;
    }
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let rule = match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    };
    let Some(text) = reader.text(field, &rule) else {
        return usual;
    };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => *value,
        None => {
            reader.complain(field, format!("'{text}' is not one; give {rule}"));
            usual
        }
    }
}

fn loads(reader: &mut Reader, list: &Field<'_>) -> Vec<Load> {
    let mut seen = Seen::default();
    let mut loads = Vec::new();
    for field in reader.list(list, 0, 256) {
        let known = ["channel", "kind", "weight", "interrupting"];
        let Some(object) = reader.object(&field, &known) else {
            continue;
        };
        let channel = reader.id(&object.field("channel")).unwrap_or_default();
        let kind = reader
            .id_if_given(&object.field("kind"))
            .unwrap_or_default();
        reader.once(&mut seen, &field, &format!("{channel}/{kind}"));
        loads.push(Load {
            channel,
            kind,
            weight: reader.whole(&object.field("weight"), 1, 100, None),
            interrupting: reader.flag(&object.field("interrupting")),
        });
    }
    loads
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
    let object = reader.object(field, &["id", "zone", "schedule", "neighbours"])?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let zone = hours::zone(reader, &object.field("zone"));
    let schedule = reference(reader, refs, Kind::Schedule, &object.field("schedule"));
    let near = object.field("neighbours");
    let neighbours = ids(reader, refs, Kind::Region, &near, (0, 63));
    let region = Region {
        id: id.clone(),
        zone,
        schedule,
        neighbours,
    };
    Some((id, region))
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
