//! What a configuration would change, object by object and field by field.

use std::collections::BTreeMap;
use std::fmt::Debug;

use meridian_proto::livechat::v1::*;

/// The changes from one configuration to another; with `prune`, objects that `put` lacks are removed, and
/// those named in `removed` in any case.
pub(super) fn changes(
    now: &Configuration,
    put: &Configuration,
    removed: &BTreeMap<&'static str, Vec<String>>,
) -> Vec<ObjectChange> {
    let mut out = Vec::new();
    if let Some(new) = &put.workspace {
        one(
            &mut out,
            "workspace",
            "",
            now.workspace.as_ref(),
            Some(new),
            |w| vec![("name", show(&w.name)), ("fallbacks", show(&w.fallbacks))],
        );
    }
    kind(
        &mut out,
        "region",
        &now.regions,
        &put.regions,
        removed,
        |r| &r.id,
        |r| vec![("zone", show(&r.zone)), ("schedule", show(&r.schedule))],
    );
    kind(
        &mut out,
        "schedule",
        &now.schedules,
        &put.schedules,
        removed,
        |s| &s.id,
        |s| {
            vec![
                ("zone", show(&s.zone)),
                ("week", show(&s.week)),
                ("holidays", show(&s.holidays)),
                ("exceptions", show(&s.exceptions)),
                ("spans", show(&s.spans)),
            ]
        },
    );
    kind(
        &mut out,
        "queue",
        &now.queues,
        &put.queues,
        removed,
        |q| &q.id,
        |q| {
            vec![
                ("schedule", show(&q.schedule)),
                ("steps", show(&q.steps)),
                ("offer_timeout_ms", show(&q.offer_timeout_ms)),
                ("wrap_up_ms", show(&q.wrap_up_ms)),
                ("wait_ms_max", show(&q.wait_ms_max)),
                ("waiting_max", show(&q.waiting_max)),
                ("ageing_ms", show(&q.ageing_ms)),
                ("answer_target_ms", show(&q.answer_target_ms)),
                ("overflow", show(&q.overflow)),
                ("sticky_ms", show(&q.sticky_ms)),
            ]
        },
    );
    kind(
        &mut out,
        "agent",
        &now.agents,
        &put.agents,
        removed,
        |a| &a.id,
        |a| {
            vec![
                ("name", show(&a.name)),
                ("region", show(&a.region)),
                ("schedule", show(&a.schedule)),
                ("languages", show(&a.languages)),
                ("skills", show(&a.skills)),
                ("queues", show(&a.queues)),
                ("capacity", show(&a.capacity)),
            ]
        },
    );
    out
}

type Fields = Vec<(&'static str, String)>;

fn kind<T>(
    out: &mut Vec<ObjectChange>,
    kind: &'static str,
    now: &[T],
    put: &[T],
    removed: &BTreeMap<&'static str, Vec<String>>,
    id: fn(&T) -> &String,
    fields: fn(&T) -> Fields,
) {
    let old: BTreeMap<&String, &T> = now.iter().map(|t| (id(t), t)).collect();
    for new in put {
        one(
            out,
            kind,
            id(new),
            old.get(id(new)).copied(),
            Some(new),
            fields,
        );
    }
    for gone in removed.get(kind).into_iter().flatten() {
        one(out, kind, gone, old.get(gone).copied(), None, fields);
    }
}

fn one<T>(
    out: &mut Vec<ObjectChange>,
    kind: &str,
    id: &str,
    old: Option<&T>,
    new: Option<&T>,
    fields: fn(&T) -> Fields,
) {
    let (change, fields) = match (old, new) {
        (None, Some(new)) => (
            ChangeKind::Added,
            fields(new)
                .into_iter()
                .filter(|(_, v)| !is_empty(v))
                .map(|(f, v)| format!("{f}: {v}"))
                .collect(),
        ),
        (Some(_), None) => (ChangeKind::Removed, Vec::new()),
        (Some(old), Some(new)) => {
            let pairs = fields(old).into_iter().zip(fields(new));
            let differ: Vec<String> = pairs
                .filter(|(a, b)| a != b)
                .map(|((f, a), (_, b))| format!("{f}: {a} -> {b}"))
                .collect();
            if differ.is_empty() {
                return;
            }
            (ChangeKind::Changed, differ)
        }
        (None, None) => return,
    };
    out.push(ObjectChange {
        kind: kind.to_owned(),
        id: id.to_owned(),
        change: change.into(),
        fields,
    });
}

fn is_empty(value: &str) -> bool {
    matches!(value, "\"\"" | "[]" | "0" | "None")
}

/// A value on one line, cut where it is long.
fn show(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if text.chars().count() > 200 {
        text = text.chars().take(199).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let agent = |id: &str, capacity| Agent {
            id: id.into(),
            name: id.into(),
            capacity,
            ..Default::default()
        };
        let now = Configuration {
            agents: vec![agent("a", 1), agent("b", 1), agent("c", 1)],
            ..Default::default()
        };
        let put = Configuration {
            agents: vec![agent("a", 1), agent("b", 5), agent("d", 2)],
            ..Default::default()
        };
        let told = changes(
            &now,
            &put,
            &BTreeMap::from([("agent", vec!["c".to_owned()])]),
        );
        let lines: Vec<_> = told
            .iter()
            .map(|c| format!("{} {} {:?}", c.id, c.change, c.fields))
            .collect();
        assert_eq!(
            lines,
            [
                "b 2 [\"capacity: 1 -> 5\"]",
                "d 1 [\"name: \\\"d\\\"\", \"capacity: 2\"]",
                "c 3 []"
            ]
        );
    }
}
