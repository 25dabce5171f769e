//! What the file may say, and the exact words for what it may not.

use meridian_proto::livechat::v1 as api;

use super::*;

const WORLD: &str = include_str!("../../testdata/world.yaml");

fn complaints(text: &str) -> Vec<String> {
    let read = File::read("world.yaml", text).and_then(|f| f.refuse_dangling(None));
    match read {
        Ok(()) => Vec::new(),
        Err(Failure::Invalid { violations, .. }) => {
            violations.iter().map(ToString::to_string).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Replaces one fragment of the good file and expects this one complaint, at the place marked with `«`.
#[track_caller]
fn expect(from: &str, to: &str, complaint: &str) {
    assert!(WORLD.contains(from), "'{from}' is not in the file");
    let marked = WORLD.replacen(from, to, 1);
    let before = marked.split('«').next().unwrap();
    let line = before.lines().count();
    let column = before.lines().last().unwrap().len() + 1;
    let text = marked.replace('«', "");
    assert_eq!(
        complaints(&text),
        [format!("world.yaml:{line}:{column}: {complaint}")]
    );
}

#[test]
fn a_good_file_is_read_whole() {
    let file = File::read("world.yaml", WORLD).unwrap();
    file.refuse_dangling(None).unwrap();
    let c = file.configuration;
    assert_eq!(
        (
            c.regions.len(),
            c.schedules.len(),
            c.queues.len(),
            c.agents.len()
        ),
        (2, 2, 2, 2)
    );
    assert_eq!(c.workspace.unwrap().fallbacks[1].language, "no");
    assert_eq!(c.schedules[0].holidays, ["2026-12-25", "2027-01-01"]);
    assert_eq!(c.schedules[0].week[1].from, "14:00");
    let queue = &c.queues[0];
    assert_eq!(queue.steps[2].after_ms, 160_000);
    assert_eq!(
        queue.steps[2].language_level,
        api::LanguageLevel::Translated as i32
    );
    assert_eq!((queue.ageing_ms, queue.sticky_ms), (60_000, 86_400_000));
    assert_eq!(queue.overflow[0].after_ms, 60_000);
    assert_eq!(
        c.queues[1],
        api::Queue {
            id: "support".to_owned(),
            ..Default::default()
        }
    );
    assert_eq!(c.agents[1].name, "12");
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let file = File::read("world.yaml", WORLD).unwrap();
    let shown = crate::output::yaml(&World::from(file.configuration.clone())).unwrap();
    let again = File::read("shown.yaml", &shown).unwrap_or_else(|e| panic!("{e:?}\n{shown}"));
    assert_eq!(again.configuration, file.configuration, "{shown}");
    assert!(shown.contains("offer_timeout: 20s\n"), "{shown}");
    assert!(
        shown.contains("accept: [es]") || shown.contains("accept: [\"es\"]"),
        "{shown}"
    );
}

/// All that a policy can say.
const POLICY: &str = include_str!("../../testdata/policy.yaml");

#[test]
fn a_policy_is_read_whole_and_shown_the_same() {
    let file = File::read("policy.yaml", POLICY).unwrap();
    let (queue, agent) = (&file.configuration.queues[0], &file.configuration.agents[0]);
    assert_eq!((queue.service_level, queue.refusal_ms), (80, Some(0)));
    assert_eq!(queue.strategy, api::Strategy::RoundRobin as i32);
    assert_eq!(queue.overflow[1].service_level_below, 70);
    assert_eq!(queue.steps[0].near, Some(0));
    assert_eq!(agent.queues, ["sales", "support"]);
    assert_eq!(agent.served.len(), 1, "only what is not usual");
    let shown = crate::output::yaml(&World::from(file.configuration.clone())).unwrap();
    let again = File::read("shown.yaml", &shown).unwrap_or_else(|e| panic!("{e:?}\n{shown}"));
    assert_eq!(again.configuration, file.configuration, "{shown}");
}

#[test]
fn a_policy_that_cannot_be_is_told_why() {
    let told = |from: &str, to: &str| {
        assert!(POLICY.contains(from), "'{from}' is not in the file");
        complaints(&POLICY.replacen(from, to, 1)).join("\n")
    };
    let cases = [
        (
            "service_level: 80%",
            "service_level: 101%",
            "'101%' is not a percentage; give 0% to 100%",
        ),
        (
            "strategy: round_robin",
            "strategy: robin",
            "'robin' is not one; give least_occupied, longest_idle, round_robin, weighted or most_skilled",
        ),
        (
            "offer_to: 3",
            "offer_to: 3\n    auto_accept: true",
            "cannot stand beside offer_to above 1; leave one out",
        ),
        (
            "near: 0",
            "near: 0, regions: [eu]",
            "cannot stand beside regions; give one of the two",
        ),
        (
            "neighbours: [us]",
            "neighbours: [mars]",
            "'mars' is not a region of this file; add the region or correct the id",
        ),
        ("rank: 2", "rank: 10", "10 is out of bounds; give 1 to 9"),
        (
            "order: deadline",
            "order: luck",
            "'luck' is not one; give arrival or deadline",
        ),
        (
            "until: 2026-12-01T09:00:00Z",
            "until: soon",
            "'soon' is not an instant",
        ),
    ];
    for (from, to, complaint) in cases {
        let said = told(from, to);
        assert!(said.contains(complaint), "{to}: {said}");
    }
}

#[test]
fn an_empty_file_holds_nothing() {
    assert_eq!(
        File::read("w", "# nothing\n").unwrap().configuration,
        Default::default()
    );
}

#[test]
fn bounds_are_checked() {
    expect(
        "capacity: 3",
        "capacity: «0",
        "agents[0].capacity: 0 is out of bounds; give 1 to 1000",
    );
    expect(
        "capacity: 3",
        "capacity: «2.5",
        "agents[0].capacity: 2.5 is not a whole number; give 1 to 1000",
    );
    expect(
        "capacity: 3",
        "capacity: «many",
        "agents[0].capacity: is text; give 1 to 1000",
    );
    expect(
        "{skill: billing, level: 7}",
        "«{skill: billing}",
        "agents[0].skills[0].level: is missing; give 1 to 10",
    );
    expect(
        "billing, level: 7",
        "billing, level: «11",
        "agents[0].skills[0].level: 11 is out of bounds; give 1 to 10",
    );
    expect(
        "waiting_max: 10000",
        "waiting_max: «0",
        "queues[0].waiting_max: 0 is out of bounds; give 1 to 1000000",
    );
    expect(
        "queues: [support]",
        "queues: «[]",
        "agents[1].queues: has 0 entries; give 1 to 64",
    );
    expect(
        "name: Ana Sousa",
        "name: «''",
        "agents[0].name: has 0 bytes; give 1 to 128 bytes of text",
    );
}

#[test]
fn durations_are_checked() {
    expect(
        "offer_timeout: 20s",
        "offer_timeout: «500ms",
        "queues[0].offer_timeout: 500ms is out of bounds; give 1s to 1h",
    );
    expect(
        "offer_timeout: 20s",
        "offer_timeout: «20",
        "queues[0].offer_timeout: '20' is not a duration; write it like 500ms, 20s, 2m40s or 1h",
    );
    expect(
        "after: 45s",
        "after: «0s",
        "queues[0].steps[1].after: steps must rise; give more than 0s",
    );
    expect(
        "after: 0s",
        "after: «1s",
        "queues[0].steps[0].after: the first step must hold from the start; give 0s",
    );
}

#[test]
fn words_are_checked() {
    expect(
        "id: ana",
        "id: «Ana",
        "agents[0].id: 'Ana' is not an id; give 1 to 64 of a-z, 0-9, '-', '_' and '.', begun by a letter or digit",
    );
    expect(
        "name: \"12\"",
        "name: «12",
        "agents[1].name: is a number; give text; put it in quotes",
    );
    expect(
        "pt-BR, level: native",
        "pt-BR, level: «good",
        "agents[1].languages[0].level: 'good' is not a level; give translated, working, fluent or native",
    );
    expect(
        "language: pt-BR",
        "language: «p_t",
        "agents[1].languages[0].language: 'p_t' is not a language tag; write it like pt-BR",
    );
    expect(
        "capacity: 3",
        "capacity: 3\n    kapacity: «4",
        "agents[0].kapacity: is not a field; the fields are id, name, region, schedule, languages, skills, queues, capacity, extra, ramp_up, team, share, bot",
    );
    expect(
        "workspace:",
        "workspaces: «1\nworkspace:",
        "workspaces: is not a field; the fields are workspace, regions, schedules, queues, agents",
    );
    expect(
        "fallback_languages: true",
        "fallback_languages: «yes",
        "queues[0].steps[2].fallback_languages: is text; give true or false",
    );
}

#[test]
fn duplicates_name_the_first() {
    expect(
        "id: bruno",
        "id: «ana",
        "agents[1].id: 'ana' is given twice; the first is on line 45",
    );
    expect(
        "language: no, level: working",
        "language: «PT-pt, level: working",
        "agents[0].languages[1].language: 'pt-pt' is given twice; the first is on line 50",
    );
    expect(
        "2027-01-01",
        "«2026-12-25",
        "schedules[0].holidays[1]: '2026-12-25' is given twice; the first is on line 18",
    );
    expect(
        "date: \"2026-12-26\"",
        "date: «\"2026-12-24\"",
        "schedules[0].exceptions[1].date: '2026-12-24' is given twice; the first is on line 20",
    );
    expect(
        "queues: [sales, support]",
        "queues: [sales, «sales]",
        "agents[0].queues[1]: 'sales' is given twice; the first is on line 54",
    );
}

#[test]
fn references_must_lead_somewhere() {
    expect(
        "region: sa-east",
        "region: «sa-west",
        "agents[1].region: 'sa-west' is not a region of this file; add the region or correct the id",
    );
    expect(
        "queue: support}",
        "queue: «nowhere}",
        "queues[0].overflow.queue: 'nowhere' is not a queue of this file; add the queue or correct the id",
    );
    expect(
        "schedule: sao-paulo-day}",
        "schedule: «rio}",
        "regions[1].schedule: 'rio' is not a schedule of this file; add the schedule or correct the id",
    );
    let part = "agents: [{id: a, name: A, region: r, languages: [{language: en, level: native}], queues: [q], capacity: 1}]";
    let file = File::read("part.yaml", part).unwrap();
    let mut known = Configuration {
        regions: vec![api::Region {
            id: "r".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let Err(Failure::Invalid {
        violations,
        summary,
    }) = file.refuse_dangling(Some(&known))
    else {
        panic!("the queue is unknown");
    };
    assert_eq!(summary, "part.yaml has 1 problem; nothing was sent");
    assert_eq!(
        violations[0].description,
        "'q' is not a queue of this file or the cluster; add the queue or correct the id"
    );
    known.queues.push(api::Queue {
        id: "q".to_owned(),
        ..Default::default()
    });
    file.refuse_dangling(Some(&known)).unwrap();
}

#[test]
fn overflow_never_goes_in_a_circle() {
    expect(
        "queue: support}\n    sticky: 24h\n  - id: support\n",
        "queue: support}\n  - {id: support, overflow: {after: 1s, queue: «sales}}\n",
        "queues[1].overflow.queue: overflow goes in a circle: sales -> support -> sales; let one of these queues keep its chats",
    );
    expect(
        "queue: support}",
        "queue: «sales}",
        "queues[0].overflow.queue: overflow goes in a circle: sales -> sales; let one of these queues keep its chats",
    );
}

#[test]
fn working_hours_are_checked() {
    expect(
        "{days: [mon, tue, wed, thu, fri], from: 14:00",
        "«{days: [mon, tue, wed, thu, fri], from: 12:30",
        "schedules[0].week[1]: overlaps entry 0 of line 16 on mon; merge the two or move one",
    );
    for (breaks, problem) in [
        (
            "[{days: [mon, tue], from: '09:00', to: '09:15'}, «{days: [sat], from: '12:00', to: '12:30'}]",
            "breaks[1]: lies outside the shifts of the week; move it into one or take it out",
        ),
        (
            "[{days: [mon], from: '09:00', to: '10:00'}, «{days: [mon], from: '09:30', to: '10:30'}]",
            "breaks[1]: overlaps entry 0 of line 18 on mon; merge the two or move one",
        ),
        (
            "[«{days: [mon], from: '09:00', to: '09:00'}]",
            "breaks[0]: ends at 09:00:00, no later than it begins; give a later end",
        ),
    ] {
        expect(
            "holidays: [\"2026-12-25\"",
            &format!("breaks: {breaks}\n    holidays: [\"2026-12-25\""),
            &format!("schedules[0].{problem}"),
        );
    }
    expect(
        "holidays: [\"2026-12-25\"",
        "closures: [«{from: 2026-12-24T14:00, to: 2026-12-24T13:00}]\n    holidays: [\"2026-12-25\"",
        "schedules[0].closures[0]: ends at 2026-12-24T13:00:00, no later than it begins; give a later end",
    );
    expect(
        "holidays: [\"2026-12-25\"",
        "closures: [{from: «2026-12-24, to: 2026-12-24T13:00}]\n    holidays: [\"2026-12-25\"",
        "schedules[0].closures[0].from: '2026-12-24' is not a local time; write it like 2026-12-24T14:00",
    );
    // The night of Saturday must not run into another one that begins on it, round the end of the week.
    expect(
        "days: [mon, tue, wed, thu, fri, sat], from: \"22:00\", to: \"06:00\"}",
        "days: [sun], from: \"22:00\", to: \"06:00\"}\n      - «{days: [mon], from: \"05:00\", to: \"08:00\"}",
        "schedules[1].week[1]: overlaps entry 0 of line 25 on mon; merge the two or move one",
    );
    expect(
        "hours: [{from: \"09:00\", to: \"12:00\"}]",
        "hours: [{from: \"09:00\", to: \"12:00\"}, «{from: \"11:00\", to: \"13:00\"}]",
        "schedules[0].exceptions[0].hours[1]: overlaps entry 0 of line 20; merge the two or move one",
    );
    expect(
        "to: \"13:00\"",
        "to: «\"25:00\"",
        "schedules[0].week[0].to: '25:00' is not a local time; give 00:00 to 24:00",
    );
    expect(
        "from: \"09:00\"",
        "from: «9:00",
        "schedules[0].week[0].from: '9:00' is not a local time; give 00:00 to 23:59",
    );
    expect(
        "days: [mon, tue, wed, thu, fri, sat]",
        "days: «[]",
        "schedules[1].week[0].days: has 0 entries; give 1 to 7",
    );
    expect(
        "days: [mon, tue, wed, thu, fri, sat]",
        "days: [mon, «someday]",
        "schedules[1].week[0].days[1]: 'someday' is not a day; give mon, tue, wed, thu, fri, sat, sun",
    );
    expect(
        "2027-01-01",
        "«2027-02-30",
        "schedules[0].holidays[1]: '2027-02-30' is not a date; write it like 2026-12-25",
    );
    expect(
        "zone: Europe/Lisbon, ",
        "zone: «Europe/Lissabon, ",
        "regions[0].zone: 'Europe/Lissabon' is not an IANA time zone; use a name such as Europe/Lisbon",
    );
}

#[test]
fn everything_wrong_is_told_in_the_order_of_the_file() {
    let text = WORLD
        .replace("capacity: 3", "capacity: 0")
        .replace("ageing: 60s", "ageing: soon");
    let told = complaints(&text.replace("region: sa-east", "region: moon"));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("ageing") && told[1].contains("capacity") && told[2].contains("moon"));
}

#[test]
fn broken_yaml_names_the_line() {
    let told = complaints("agents:\n  - id: a\n   name: b\n");
    assert!(told[0].starts_with("world.yaml:3:"), "{told:?}");
}

#[test]
fn a_node_s_complaint_is_placed_in_the_file() {
    let file = File::read("world.yaml", WORLD).unwrap();
    let details = tonic_types::ErrorDetails::with_bad_request(vec![
        tonic_types::FieldViolation::new("put.agents[0].languages[1]", "is not served"),
        tonic_types::FieldViolation::new("actor", "is too long"),
    ]);
    use tonic_types::StatusExt as _;
    let status =
        tonic::Status::with_error_details(tonic::Code::InvalidArgument, "refused", details);
    let error = crate::failure::ServerError::new(&status, "http://n:1");
    let Failure::Server(error) = file.place(Failure::Server(Box::new(error))) else {
        panic!("it stays a server's error");
    };
    let told: Vec<_> = error.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "world.yaml:51:9: agents[0].languages[1]: is not served",
            "actor: is too long"
        ]
    );
}
