//! What a configuration would change, object by object, in the names and units of the file `meridian apply`
//! reads. Messages are compared, never what is shown of them.

use std::collections::BTreeMap;

use meridian_proto::livechat::v1::*;

/// Characters of a value that are shown.
const SHOWN: usize = 200;
/// Lines told of one object.
const LINES_MAX: usize = 200;

/// The changes from one configuration to another: what is put, and the objects named in `removed` by kind.
pub(super) fn changes(
    now: &Configuration,
    put: &Configuration,
    removed: &BTreeMap<&'static str, Vec<String>>,
) -> Vec<ObjectChange> {
    let mut out = Vec::new();
    if let Some(new) = &put.workspace {
        let old = now.workspace.as_ref();
        one(&mut out, "workspace", "", old, Some(new), workspace);
    }
    let mut kinds = Kinds {
        out: &mut out,
        removed,
    };
    kinds.kind("region", &now.regions, &put.regions, |r| &r.id, region);
    kinds.kind(
        "schedule",
        &now.schedules,
        &put.schedules,
        |s| &s.id,
        schedule,
    );
    kinds.kind("queue", &now.queues, &put.queues, |q| &q.id, queue);
    kinds.kind("agent", &now.agents, &put.agents, |a| &a.id, agent);
    out
}

/// A field as the file shows it.
enum Value {
    /// A single value; empty = absent.
    One(String),
    /// A list: what tells each element apart, and the rest of it.
    Many(Vec<(String, String)>),
}

type Fields = Vec<(&'static str, Value)>;

struct Kinds<'a> {
    out: &'a mut Vec<ObjectChange>,
    removed: &'a BTreeMap<&'static str, Vec<String>>,
}

impl Kinds<'_> {
    fn kind<T: PartialEq>(
        &mut self,
        kind: &'static str,
        now: &[T],
        put: &[T],
        id: fn(&T) -> &String,
        fields: fn(&T) -> Fields,
    ) {
        let old: BTreeMap<&String, &T> = now.iter().map(|t| (id(t), t)).collect();
        for new in put {
            let old = old.get(id(new)).copied();
            one(self.out, kind, id(new), old, Some(new), fields);
        }
        for gone in self.removed.get(kind).into_iter().flatten() {
            let old = old.get(gone).copied();
            one(self.out, kind, gone, old, None, fields);
        }
    }
}

fn one<T: PartialEq>(
    out: &mut Vec<ObjectChange>,
    kind: &str,
    id: &str,
    old: Option<&T>,
    new: Option<&T>,
    fields: fn(&T) -> Fields,
) {
    let (change, mut lines) = match (old, new) {
        (Some(old), Some(new)) if old == new => return,
        (None, None) => return,
        (None, Some(new)) => (
            ChangeKind::Added,
            fields(new).iter().flat_map(whole).collect(),
        ),
        (Some(_), None) => (ChangeKind::Removed, Vec::new()),
        (Some(old), Some(new)) => {
            let pairs = fields(old).into_iter().zip(fields(new));
            let lines = pairs.flat_map(|((name, a), (_, b))| differences(name, &a, &b));
            (ChangeKind::Changed, lines.collect())
        }
    };
    if lines.len() > LINES_MAX {
        let more = lines.len() - (LINES_MAX - 1);
        lines.truncate(LINES_MAX - 1);
        lines.push(format!("… and {more} lines more"));
    }
    out.push(ObjectChange {
        kind: kind.to_owned(),
        id: id.to_owned(),
        change: change.into(),
        fields: lines,
    });
}

/// A field of a new object; one left at nothing is not told.
fn whole((name, value): &(&'static str, Value)) -> Option<String> {
    let text = match value {
        Value::One(text) if matches!(text.as_str(), "" | "0" | "0s") => return None,
        Value::One(text) => text.clone(),
        Value::Many(items) if items.is_empty() => return None,
        Value::Many(items) => list(items),
    };
    Some(format!("{name}: {}", cut(&text, 0)))
}

fn list(items: &[(String, String)]) -> String {
    let items: Vec<_> = items.iter().map(|(k, v)| element(k, v)).collect();
    format!("[{}]", items.join(", "))
}

fn element(key: &str, rest: &str) -> String {
    if rest.is_empty() {
        key.to_owned()
    } else {
        format!("{key}: {rest}")
    }
}

fn differences(name: &str, old: &Value, new: &Value) -> Vec<String> {
    match (old, new) {
        (Value::One(a), Value::One(b)) if a != b => vec![changed(name, a, b)],
        (Value::Many(a), Value::Many(b)) if a != b => {
            let before: BTreeMap<_, _> = a.iter().map(|(k, v)| (k, v)).collect();
            let after: BTreeMap<_, _> = b.iter().map(|(k, v)| (k, v)).collect();
            let mut lines = Vec::new();
            for (key, rest) in a.iter().filter(|(k, _)| !after.contains_key(k)) {
                lines.push(format!("{name}: - {}", cut(&element(key, rest), 0)));
            }
            for (key, rest) in b {
                match before.get(key) {
                    None => lines.push(format!("{name}: + {}", cut(&element(key, rest), 0))),
                    Some(was) if *was != rest => {
                        lines.push(changed(&format!("{name}[{key}]"), was, rest))
                    }
                    Some(_) => {}
                }
            }
            if lines.is_empty() {
                // The same elements in another order, or one of them more often.
                lines.push(changed(name, &list(a), &list(b)));
            }
            lines
        }
        _ => Vec::new(),
    }
}

fn changed(name: &str, old: &str, new: &str) -> String {
    let differ = old.chars().zip(new.chars()).position(|(a, b)| a != b);
    let at = differ.unwrap_or_else(|| old.chars().count().min(new.chars().count()));
    let show = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            cut(text, at)
        }
    };
    format!("{name}: {} -> {}", show(old), show(new))
}

/// A long text cut to what stands around a place in it.
fn cut(text: &str, at: usize) -> String {
    let count = text.chars().count();
    if count <= SHOWN {
        return text.to_owned();
    }
    let from = at.saturating_sub(SHOWN / 2).min(count - SHOWN);
    let shown: String = text.chars().skip(from).take(SHOWN).collect();
    let (before, after) = (from > 0, from + SHOWN < count);
    format!(
        "{}{shown}{}",
        if before { "…" } else { "" },
        if after { "…" } else { "" }
    )
}

fn text(value: &str) -> Value {
    Value::One(value.to_owned())
}

fn number(value: u32) -> Value {
    Value::One(value.to_string())
}

fn words(words: &[String]) -> Value {
    Value::Many(words.iter().map(|w| (w.clone(), String::new())).collect())
}

fn duration(ms: u32) -> Value {
    Value::One(span(ms))
}

/// A duration as the file has it: `2m40s`.
fn span(ms: u32) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut rest, mut text) = (ms, String::new());
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

fn moment(ms: i64) -> String {
    // Out of the calendar's range only where a check was left out; then the number tells more than nothing.
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

fn level(value: i32) -> &'static str {
    match LanguageLevel::try_from(value) {
        Ok(LanguageLevel::Translated) => "translated",
        Ok(LanguageLevel::Working) => "working",
        Ok(LanguageLevel::Fluent) => "fluent",
        Ok(LanguageLevel::Native) => "native",
        Ok(LanguageLevel::Unspecified) | Err(_) => "unspecified",
    }
}

fn reach(value: i32) -> &'static str {
    match LanguageReach::try_from(value) {
        Ok(LanguageReach::Exact) => "exact",
        Ok(LanguageReach::Far) => "far",
        Ok(LanguageReach::Script) => "script",
        Ok(LanguageReach::Near | LanguageReach::Unspecified) | Err(_) => "near",
    }
}

fn order(value: i32) -> &'static str {
    match ChatOrder::try_from(value) {
        Ok(ChatOrder::Deadline) => "deadline",
        _ => "",
    }
}

fn strategy(value: i32) -> &'static str {
    match Strategy::try_from(value) {
        Ok(Strategy::LongestIdle) => "longest_idle",
        Ok(Strategy::RoundRobin) => "round_robin",
        Ok(Strategy::Weighted) => "weighted",
        Ok(Strategy::MostSkilled) => "most_skilled",
        Ok(Strategy::LeastOccupied | Strategy::Unspecified) | Err(_) => "",
    }
}

fn flag(value: bool) -> Value {
    Value::One(if value { "true" } else { "" }.to_owned())
}

fn workspace(w: &Workspace) -> Fields {
    let fallback = |f: &LanguageFallback| (f.language.clone(), f.accept.join(", "));
    let load = |l: &Load| {
        let kind = if l.kind.is_empty() { "" } else { "/" };
        let interrupting = if l.interrupting { ", interrupting" } else { "" };
        let what = format!("{}{kind}{}", l.channel, l.kind);
        (what, format!("{}{interrupting}", l.weight))
    };
    vec![
        ("name", text(&w.name)),
        (
            "fallbacks",
            Value::Many(w.fallbacks.iter().map(fallback).collect()),
        ),
        ("order", Value::One(order(w.order).to_owned())),
        ("loads", Value::Many(w.loads.iter().map(load).collect())),
        ("break_after", duration(w.break_after_ms)),
        ("break", duration(w.break_ms)),
    ]
}

fn region(r: &Region) -> Fields {
    vec![
        ("zone", text(&r.zone)),
        ("schedule", text(&r.schedule)),
        ("neighbours", Value::One(r.neighbours.join(", "))),
    ]
}

fn schedule(s: &Schedule) -> Fields {
    let shift = |w: &WeeklyShift| {
        let days = w.days.join(", ");
        let shift = format!("{{days: [{days}], from: {}, to: {}}}", w.from, w.to);
        (shift, String::new())
    };
    let exception = |e: &ScheduleException| {
        let hours: Vec<_> = e
            .hours
            .iter()
            .map(|h| format!("{} to {}", h.from, h.to))
            .collect();
        let hours = if hours.is_empty() {
            "closed".to_owned()
        } else {
            hours.join(", ")
        };
        (e.date.clone(), hours)
    };
    let closure = |c: &ScheduleClosure| {
        let span = format!("{{from: {}, to: {}}}", c.from, c.to);
        (span, c.reason.clone())
    };
    let given = |s: &UtcSpan| {
        let span = format!("{{from: {}, to: {}}}", moment(s.from_ms), moment(s.to_ms));
        (span, String::new())
    };
    vec![
        ("zone", text(&s.zone)),
        ("week", Value::Many(s.week.iter().map(shift).collect())),
        ("holidays", words(&s.holidays)),
        (
            "exceptions",
            Value::Many(s.exceptions.iter().map(exception).collect()),
        ),
        ("spans", Value::Many(s.spans.iter().map(given).collect())),
        ("breaks", Value::Many(s.breaks.iter().map(shift).collect())),
        (
            "closures",
            Value::Many(s.closures.iter().map(closure).collect()),
        ),
        ("last_offer", duration(s.last_offer_ms)),
        ("handover", duration(s.handover_ms)),
        ("handover_to_line", flag(s.handover_to_line)),
    ]
}

/// What a step asks beside the rest, as far as it does.
fn preferences(s: &RelaxationStep) -> String {
    let mut told = String::new();
    let mut list = |name: &str, items: &[String]| {
        if !items.is_empty() {
            told += &format!(", {name}: [{}]", items.join(", "));
        }
    };
    let skill = |s: &SkillLevel| format!("{} {}", s.skill, s.level);
    let skills: Vec<String> = s.prefer_skills.iter().map(skill).collect();
    list("skills_off", &s.skills_off);
    list("prefer_regions", &s.prefer_regions);
    list("prefer_skills", &skills);
    if let Some(near) = s.near {
        told += &format!(", near: {near}");
    }
    if !matches!(s.rank_max, 0 | 9) {
        told += &format!(", rank_max: {}", s.rank_max);
    }
    if s.skip_if_nobody {
        told += ", skip_if_nobody: true";
    }
    told
}

fn queue(q: &Queue) -> Fields {
    let step = |(i, s): (usize, &RelaxationStep)| {
        let mut rest = format!(
            "{{after: {}, language_level: {}, language_reach: {}, language_weight: {}, fallback_languages: {}, skill_levels_off: {}, regions: [{}]",
            span(s.after_ms),
            level(s.language_level),
            reach(s.language_reach),
            s.language_weight,
            s.fallback_languages,
            s.skill_levels_off,
            s.regions.join(", ")
        );
        rest += &preferences(s);
        rest.push('}');
        (i.to_string(), rest)
    };
    let overflow = |o: &Overflow| {
        let mut told = format!("{{after: {}, queue: {}", span(o.after_ms), o.queue);
        if o.waiting_min > 0 {
            told += &format!(", waiting_min: {}", o.waiting_min);
        }
        if o.no_agent {
            told += ", no_agent: true";
        }
        if o.service_level_below > 0 {
            told += &format!(", service_level_below: {}%", o.service_level_below);
        }
        (told + "}", String::new())
    };
    vec![
        ("schedule", text(&q.schedule)),
        (
            "steps",
            Value::Many(q.steps.iter().enumerate().map(step).collect()),
        ),
        ("offer_timeout", duration(q.offer_timeout_ms)),
        ("wrap_up", duration(q.wrap_up_ms)),
        ("wait_max", duration(q.wait_ms_max)),
        ("waiting_max", number(q.waiting_max)),
        ("ageing", duration(q.ageing_ms)),
        ("answer_target", duration(q.answer_target_ms)),
        (
            "overflow",
            Value::Many(q.overflow.iter().map(overflow).collect()),
        ),
        ("sticky", duration(q.sticky_ms)),
        ("hold_agent", duration(q.hold_agent_ms)),
        ("hold_team", duration(q.hold_team_ms)),
        ("priority", number(q.priority)),
        ("vip_priority", number(q.vip_priority)),
        ("service_level", number(q.service_level)),
        ("strategy", Value::One(strategy(q.strategy).to_owned())),
        ("offer_to", number(q.offer_to)),
        ("auto_accept", flag(q.auto_accept)),
        ("decline_reasons", words(&q.decline_reasons)),
        ("refusal", q.refusal_ms.map_or(text(""), duration)),
        ("ignored_max", number(q.ignored_max)),
        ("staff_min", number(q.staff_min)),
    ]
}

fn agent(a: &Agent) -> Fields {
    let language = |l: &SpokenLanguage| (l.language.clone(), level(l.level).to_owned());
    let skill = |s: &SkillLevel| (s.skill.clone(), s.level.to_string());
    let ramp = |r: &RampUp| (moment(r.until_ms), r.capacity.to_string());
    let served = |s: &ServedQueue| {
        let how = format!("rank {}, chats_max {}", s.rank, s.chats_max);
        (s.queue.clone(), how)
    };
    vec![
        ("name", text(&a.name)),
        ("region", text(&a.region)),
        ("schedule", text(&a.schedule)),
        (
            "languages",
            Value::Many(a.languages.iter().map(language).collect()),
        ),
        ("skills", Value::Many(a.skills.iter().map(skill).collect())),
        ("team", text(&a.team)),
        ("extra", number(a.extra)),
        ("ramp_up", Value::Many(a.ramp_up.iter().map(ramp).collect())),
        ("share", number(a.share)),
        ("bot", flag(a.bot)),
        ("served", Value::Many(a.served.iter().map(served).collect())),
        ("queues", words(&a.queues)),
        ("capacity", number(a.capacity)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(now: &Configuration, put: &Configuration, removed: &[&str]) -> Vec<String> {
        let removed = removed.iter().map(|id| (*id).to_owned()).collect();
        let told = changes(now, put, &BTreeMap::from([("agent", removed)]));
        let line = |c: &ObjectChange| {
            let kind = ChangeKind::try_from(c.change).expect("a kind");
            format!("{} {} {:?}", kind.as_str_name(), c.id, c.fields)
        };
        told.iter().map(line).collect()
    }

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
        assert_eq!(
            told(&now, &put, &["c", "unheard of"]),
            [
                r#"CHANGE_KIND_CHANGED b ["capacity: 1 -> 5"]"#,
                r#"CHANGE_KIND_ADDED d ["name: d", "capacity: 2"]"#,
                r#"CHANGE_KIND_REMOVED c []"#,
            ]
        );
    }

    #[test]
    fn durations_and_steps_are_told_as_the_file_has_them() {
        let step = |after_ms, level: LanguageLevel| RelaxationStep {
            after_ms,
            language_level: level.into(),
            ..Default::default()
        };
        let queue = |offer_timeout_ms, second: LanguageLevel, overflow| Configuration {
            queues: vec![Queue {
                id: "q".into(),
                offer_timeout_ms,
                steps: vec![step(0, LanguageLevel::Fluent), step(90_000, second)],
                overflow,
                ..Default::default()
            }],
            ..Default::default()
        };
        let now = queue(20_000, LanguageLevel::Working, vec![]);
        let overflow = Overflow {
            after_ms: 60_000,
            queue: "other".into(),
            ..Default::default()
        };
        let put = queue(30_500, LanguageLevel::Translated, vec![overflow]);
        assert_eq!(
            changes(&now, &put, &BTreeMap::new())[0].fields,
            [
                "steps[1]: {after: 1m30s, language_level: working, language_reach: near, language_weight: 0, \
                 fallback_languages: false, skill_levels_off: 0, regions: []} -> {after: 1m30s, \
                 language_level: translated, language_reach: near, language_weight: 0, \
                 fallback_languages: false, skill_levels_off: 0, regions: []}",
                "offer_timeout: 20s -> 30s500ms",
                "overflow: + {after: 1m, queue: other}",
            ]
        );
    }

    #[test]
    fn one_holiday_more_than_thirty_is_told() {
        let days = |count| Configuration {
            schedules: vec![Schedule {
                id: "s".into(),
                holidays: (1..=count).map(|d| format!("2027-01-{d:02}")).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let lines = &changes(&days(30), &days(31), &BTreeMap::new())[0].fields;
        assert_eq!(*lines, ["holidays: + 2027-01-31"]);
    }

    #[test]
    fn the_last_of_five_languages_is_told() {
        let speaks = |last: LanguageLevel| {
            let language = |(tag, level): (&str, LanguageLevel)| SpokenLanguage {
                language: tag.into(),
                level: level.into(),
            };
            let fluent = ["en", "de", "fr", "pt-BR"].map(|tag| (tag, LanguageLevel::Fluent));
            let languages = fluent.into_iter().chain([("zh-Hant-TW", last)]);
            Configuration {
                agents: vec![Agent {
                    id: "a".into(),
                    languages: languages.map(language).collect(),
                    ..Default::default()
                }],
                ..Default::default()
            }
        };
        let (now, put) = (
            speaks(LanguageLevel::Working),
            speaks(LanguageLevel::Native),
        );
        assert_eq!(
            changes(&now, &put, &BTreeMap::new())[0].fields,
            ["languages[zh-Hant-TW]: working -> native"]
        );
    }

    #[test]
    fn another_order_is_told_and_long_values_are_cut_around_the_difference() {
        let accepts = |accept: Vec<String>| Configuration {
            workspace: Some(Workspace {
                name: "w".into(),
                fallbacks: vec![LanguageFallback {
                    language: "nb".into(),
                    accept,
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let long = |last: &str| {
            let many = (0..100).map(|i| format!("x-{i:03}"));
            accepts(many.chain([last.to_owned()]).collect())
        };
        let line = changes(&long("da"), &long("sv"), &BTreeMap::new())[0].fields[0].clone();
        assert!(line.starts_with("fallbacks[nb]: …"), "{line}");
        assert!(
            line.contains("x-099, da -> …") && line.ends_with("x-099, sv"),
            "{line}"
        );

        let queues = |queues: [&str; 2]| Configuration {
            agents: vec![Agent {
                id: "a".into(),
                queues: queues.map(str::to_owned).into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let turned = changes(&queues(["p", "q"]), &queues(["q", "p"]), &BTreeMap::new());
        assert_eq!(turned[0].fields, ["queues: [p, q] -> [q, p]"]);
    }

    #[test]
    fn a_thousand_changed_elements_are_not_a_thousand_lines() {
        let spans = |first: i64| Configuration {
            schedules: vec![Schedule {
                id: "s".into(),
                spans: (0..1_000)
                    .map(|i| UtcSpan {
                        from_ms: first + i * 2_000,
                        to_ms: first + i * 2_000 + 1_000,
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let lines = &changes(&spans(0), &spans(1), &BTreeMap::new())[0].fields;
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(
            lines[0],
            "spans: - {from: 1970-01-01T00:00:00Z, to: 1970-01-01T00:00:01Z}"
        );
        assert_eq!(lines[LINES_MAX - 1], "… and 1801 lines more");
    }
}
