//! Agents, from the file to the API's messages.

use meridian_proto::livechat::v1::{Agent, RampUp, ServedQueue, SpokenLanguage};

use super::{language_once, level, reference, reference_if_given, skills};
use crate::world::hours;
use crate::world::reader::{Field, Reader, Seen};
use crate::world::references::{Kind, References};
use crate::world::tree::Value;

/// Reads an agent.
pub(super) fn agent(
    reader: &mut Reader,
    refs: &mut References,
    field: &Field<'_>,
) -> Option<(String, Agent)> {
    let known = [
        "id",
        "name",
        "region",
        "schedule",
        "languages",
        "skills",
        "queues",
        "capacity",
        "extra",
        "ramp_up",
        "team",
        "share",
        "bot",
    ];
    let object = reader.object(field, &known)?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let team = reader.id_if_given(&object.field("team"));
    let (queues, served) = queues(reader, refs, &object.field("queues"));
    let agent = Agent {
        id: id.clone(),
        name: reader.name(&object.field("name"), 128),
        region: reference(reader, refs, Kind::Region, &object.field("region")),
        schedule: reference_if_given(reader, refs, Kind::Schedule, &object.field("schedule")),
        languages: spoken(reader, &object.field("languages")),
        skills: skills(reader, &object.field("skills")),
        queues,
        served,
        capacity: reader.whole(&object.field("capacity"), 1, 1_000, None),
        extra: reader.whole(&object.field("extra"), 0, 1_000, Some(0)),
        ramp_up: ramp_up(reader, &object.field("ramp_up")),
        team: team.unwrap_or_default(),
        share: reader.whole(&object.field("share"), 1, 1_000, Some(0)),
        bot: reader.flag(&object.field("bot")),
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

/// Queues by name, or as `{queue: sales, rank: 2, chats_max: 1}`.
fn queues(
    reader: &mut Reader,
    refs: &mut References,
    list: &Field<'_>,
) -> (Vec<String>, Vec<ServedQueue>) {
    let mut seen = Seen::default();
    let (mut queues, mut served) = (Vec::new(), Vec::new());
    for element in reader.list(list, 1, 64) {
        let whole = element
            .node
            .is_some_and(|n| matches!(n.value, Value::Map(_)));
        let object = match whole {
            true => reader.object(&element, &["queue", "rank", "chats_max"]),
            false => None,
        };
        let name = object.as_ref().map(|o| o.field("queue"));
        let field = name.as_ref().unwrap_or(&element);
        let Some(queue) = reader.id(field) else {
            continue;
        };
        reader.once(&mut seen, field, &queue);
        refs.refer(Kind::Queue, &queue, field);
        if let Some(object) = object {
            let rank = reader.whole(&object.field("rank"), 1, 9, Some(1));
            let chats_max = reader.whole(&object.field("chats_max"), 0, 1_000, Some(0));
            if (rank, chats_max) != (1, 0) {
                served.push(ServedQueue {
                    queue: queue.clone(),
                    rank,
                    chats_max,
                });
            }
        }
        queues.push(queue);
    }
    (queues, served)
}

fn ramp_up(reader: &mut Reader, list: &Field<'_>) -> Vec<RampUp> {
    let mut ramps: Vec<RampUp> = Vec::new();
    for field in reader.list(list, 0, 16) {
        let Some(object) = reader.object(&field, &["until", "capacity"]) else {
            continue;
        };
        let until = object.field("until");
        let until_ms = hours::instant(reader, &until).unwrap_or_default();
        if ramps.last().is_some_and(|last| until_ms <= last.until_ms) {
            reader.complain(
                &until,
                "does not come after the one before; order them by time",
            );
        }
        ramps.push(RampUp {
            until_ms,
            capacity: reader.whole(&object.field("capacity"), 1, 1_000, None),
        });
    }
    ramps
}
