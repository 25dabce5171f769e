//! Queues and their steps, from the file to the API's messages.

use meridian_proto::livechat::v1::{LanguageReach, Overflow, Queue, RelaxationStep, Strategy};

use super::{DAY_MS, ids, level, reference, reference_if_given, skills, word};
use crate::world::reader::{Field, Reader, Seen};
use crate::world::references::{Kind, References};
use crate::world::tree::Value;

/// Longest hold.
const HOUR_MS: u32 = 3_600_000;

/// Reaches of a language, the shortest first.
pub const REACHES: [(&str, LanguageReach); 4] = [
    ("exact", LanguageReach::Exact),
    ("near", LanguageReach::Near),
    ("far", LanguageReach::Far),
    ("script", LanguageReach::Script),
];

/// Who comes first among agents who fit equally well.
pub const STRATEGIES: [(&str, Strategy); 5] = [
    ("least_occupied", Strategy::LeastOccupied),
    ("longest_idle", Strategy::LongestIdle),
    ("round_robin", Strategy::RoundRobin),
    ("weighted", Strategy::Weighted),
    ("most_skilled", Strategy::MostSkilled),
];

/// Reads a queue.
pub(super) fn queue(
    reader: &mut Reader,
    refs: &mut References,
    field: &Field<'_>,
) -> Option<(String, Queue)> {
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
        "priority",
        "vip_priority",
        "service_level",
        "strategy",
        "hold_agent",
        "hold_team",
        "offer_to",
        "auto_accept",
        "decline_reasons",
        "refusal",
        "ignored_max",
        "staff_min",
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
        overflow: overflows(reader, refs, &id, &object.field("overflow")),
        sticky_ms: reader.millis(&object.field("sticky"), 0, DAY_MS),
        priority: reader.whole(&object.field("priority"), 0, 9, Some(0)),
        vip_priority: reader.whole(&object.field("vip_priority"), 0, 9, Some(0)),
        service_level: percent(reader, &object.field("service_level")),
        strategy: strategy(reader, &object.field("strategy")),
        hold_agent_ms: reader.millis(&object.field("hold_agent"), 0, HOUR_MS),
        hold_team_ms: reader.millis(&object.field("hold_team"), 0, HOUR_MS),
        offer_to: reader.whole(&object.field("offer_to"), 1, 16, Some(0)),
        auto_accept: reader.flag(&object.field("auto_accept")),
        decline_reasons: reasons(reader, &object.field("decline_reasons")),
        refusal_ms: refusal(reader, &object.field("refusal")),
        ignored_max: reader.whole(&object.field("ignored_max"), 1, 100, Some(0)),
        staff_min: reader.whole(&object.field("staff_min"), 0, 1_000_000, Some(0)),
    };
    if queue.auto_accept && queue.offer_to > 1 {
        let rule = "cannot stand beside offer_to above 1; leave one out";
        reader.complain(&object.field("auto_accept"), rule);
    }
    Some((id, queue))
}

/// As the server has it where nothing is said.
fn strategy(reader: &mut Reader, field: &Field<'_>) -> i32 {
    word(reader, field, &STRATEGIES, Strategy::Unspecified) as i32
}

/// `80%`, or a plain number; 0 where it is left out.
fn percent(reader: &mut Reader, field: &Field<'_>) -> u32 {
    let text = match field.node.map(|n| &n.value) {
        Some(Value::Text(text)) => text.clone(),
        _ => return reader.whole(field, 0, 100, Some(0)),
    };
    let number = text
        .strip_suffix('%')
        .and_then(|n| n.trim_end().parse().ok());
    match number.filter(|n| *n <= 100) {
        Some(number) => number,
        None => {
            reader.complain(
                field,
                format!("'{text}' is not a percentage; give 0% to 100%"),
            );
            0
        }
    }
}

/// Left out is not 0: then a chat may come back to whoever refused it at once.
fn refusal(reader: &mut Reader, field: &Field<'_>) -> Option<u32> {
    field.node?;
    Some(reader.millis(field, 0, DAY_MS))
}

fn reasons(reader: &mut Reader, list: &Field<'_>) -> Vec<String> {
    let mut seen = Seen::default();
    let mut reasons = Vec::new();
    for field in reader.list(list, 0, 32) {
        let reason = reader.name(&field, 256);
        reader.once(&mut seen, &field, &reason);
        reasons.push(reason);
    }
    reasons
}

/// One overflow, or a list of them.
fn overflows(
    reader: &mut Reader,
    refs: &mut References,
    from: &str,
    field: &Field<'_>,
) -> Vec<Overflow> {
    if field.node.is_some_and(|n| matches!(n.value, Value::Map(_))) {
        return overflow(reader, refs, from, field).into_iter().collect();
    }
    let list = reader.list(field, 0, 16);
    let list = list.iter();
    list.filter_map(|field| overflow(reader, refs, from, field))
        .collect()
}

fn overflow(
    reader: &mut Reader,
    refs: &mut References,
    from: &str,
    field: &Field<'_>,
) -> Option<Overflow> {
    let known = [
        "after",
        "queue",
        "waiting_min",
        "no_agent",
        "service_level_below",
    ];
    let object = reader.object(field, &known)?;
    let after_ms = reader.millis(&object.field("after"), 0, DAY_MS);
    let to = object.field("queue");
    let queue = reference(reader, refs, Kind::Queue, &to);
    if !queue.is_empty() && !from.is_empty() {
        refs.overflow(from, &queue, &to);
    }
    Some(Overflow {
        after_ms,
        queue,
        waiting_min: reader.whole(&object.field("waiting_min"), 0, 1_000_000, Some(0)),
        no_agent: reader.flag(&object.field("no_agent")),
        service_level_below: percent(reader, &object.field("service_level_below")),
    })
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
        "skills_off",
        "near",
        "prefer_regions",
        "prefer_skills",
        "rank_max",
        "skip_if_nobody",
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
            language_reach: word(
                reader,
                &object.field("language_reach"),
                &REACHES,
                LanguageReach::Near,
            ) as i32,
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
            skills_off: skill_names(reader, &object.field("skills_off")),
            near: near(reader, &object.field("near")),
            prefer_regions: ids(
                reader,
                refs,
                Kind::Region,
                &object.field("prefer_regions"),
                (0, 64),
            ),
            prefer_skills: skills(reader, &object.field("prefer_skills")),
            rank_max: reader.whole(&object.field("rank_max"), 1, 9, Some(0)),
            skip_if_nobody: reader.flag(&object.field("skip_if_nobody")),
        });
        let last = steps.last();
        if last.is_some_and(|s| s.near.is_some() && !s.regions.is_empty()) {
            let rule = "cannot stand beside regions; give one of the two";
            reader.complain(&object.field("near"), rule);
        }
    }
    steps
}

fn near(reader: &mut Reader, field: &Field<'_>) -> Option<u32> {
    field.node?;
    Some(reader.whole(field, 0, 63, None))
}

fn skill_names(reader: &mut Reader, list: &Field<'_>) -> Vec<String> {
    let mut seen = Seen::default();
    let mut names = Vec::new();
    for field in reader.list(list, 0, 64) {
        let name = reader.name(&field, 64);
        reader.once(&mut seen, &field, &name);
        names.push(name);
    }
    names
}
