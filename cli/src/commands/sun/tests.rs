use jiff::Timestamp;
use meridian_calendar::{Millis, Span};
use meridian_proto::livechat::v1 as api;

use super::coverage::{self, DAY_MS, Slot};
use crate::world::File;

/// New York's night ends where London's morning begins, but for the weeks between their clock changes.
const ATLANTIC: &str = r#"
regions:
  - {id: eu, zone: Europe/London, schedule: london}
  - {id: us, zone: America/New_York, schedule: new-york}
schedules:
  - id: london
    zone: Europe/London
    week: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "09:00", to: "17:00"}]
    holidays: ["2026-12-25"]
  - id: new-york
    zone: America/New_York
    week: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "22:00", to: "04:00"}]
  - id: opening
    zone: UTC
    week: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "07:00", to: "10:00"}]
queues:
  - {id: support, schedule: opening}
agents:
  - {id: lee, name: Lee, region: eu, schedule: london, languages: [{language: en-GB, level: native}], queues: [support], capacity: 1}
  - {id: max, name: Max, region: us, schedule: new-york, languages: [{language: en-US, level: fluent}], queues: [support], capacity: 1}
  - {id: noa, name: Noa, region: us, languages: [{language: en, level: native}, {language: he, level: native}], queues: [support], capacity: 1}
  - {id: pia, name: Pia, region: eu, schedule: london, languages: [{language: pt-PT, level: native}, {language: zh-TW, level: working}], queues: [support], capacity: 1}
  - {id: rui, name: Rui, region: us, schedule: new-york, languages: [{language: pt-BR, level: fluent}], queues: [support], capacity: 1}
"#;

fn world(text: &str) -> api::Configuration {
    File::read("world.yaml", text).unwrap().configuration
}

fn ms(text: &str) -> Millis {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn text(at: Millis) -> String {
    Timestamp::from_millisecond(at)
        .unwrap()
        .strftime("%m-%d %H:%M")
        .to_string()
}

/// `FROM-TO ONLY NEXT@WHEN` of each gap of the first queue.
fn gaps(
    world: &api::Configuration,
    language: &str,
    from: &str,
    days: i64,
    thin: bool,
) -> Vec<String> {
    let start = ms(from);
    let schedules = coverage::resolve(world, start).unwrap();
    let cover = coverage::cover(world, &schedules, &world.queues[0]).unwrap();
    let of = cover.languages.iter().find(|l| l.label == language);
    let window = Span {
        start,
        end: start + days * DAY_MS,
    };
    let gaps = of.unwrap().gaps(cover.open, window, thin).into_iter();
    gaps.map(|gap| {
        let only = gap.only.unwrap_or("nobody");
        let next = gap
            .next
            .map(|(at, agent)| format!("{}@{}", agent.id, text(at)));
        let (from, to) = (text(gap.span.start), text(gap.span.end));
        format!("{from}-{to} {only} {}", next.unwrap_or_default())
    })
    .collect()
}

#[test]
fn an_hour_is_uncovered_only_between_the_clock_changes() {
    let world = world(ATLANTIC);
    let spring = gaps(&world, "en", "2026-02-20T00:00Z", 60, false);
    assert_eq!(spring.len(), 21, "{spring:?}");
    assert_eq!(spring[0], "03-08 08:00-03-08 09:00 nobody lee@03-08 09:00");
    assert_eq!(spring[20], "03-28 08:00-03-28 09:00 nobody lee@03-28 09:00");
    let autumn = gaps(&world, "en", "2026-10-01T00:00Z", 60, false);
    assert_eq!(autumn.len(), 7, "{autumn:?}");
    assert_eq!(autumn[0], "10-25 08:00-10-25 09:00 nobody lee@10-25 09:00");
    assert_eq!(autumn[6], "10-31 08:00-10-31 09:00 nobody lee@10-31 09:00");
}

#[test]
fn a_holiday_leaves_a_gap_that_ends_when_the_queue_closes() {
    let world = world(ATLANTIC);
    assert_eq!(
        gaps(&world, "en", "2026-12-20T00:00Z", 10, false),
        ["12-25 09:00-12-25 10:00 nobody max@12-26 03:00"]
    );
}

#[test]
fn exceptions_count_and_a_window_cuts_an_overnight_shift() {
    let closed = ATLANTIC.replace(
        "    week: [{days: [mon, tue, wed, thu, fri, sat, sun], from: \"22:00\"",
        "    exceptions: [{date: \"2026-01-13\", hours: [{from: \"23:30\", to: \"02:00\"}]}]\n    week: [{days: [mon, tue, wed, thu, fri, sat, sun], from: \"22:00\"",
    );
    let mut world = world(&closed);
    world.queues[0].schedule.clear();
    // The night of the 12th lasts into the window; that of the 13th is short, and London ends at five.
    assert_eq!(
        gaps(&world, "en", "2026-01-13T08:00Z", 1, false),
        [
            "01-13 17:00-01-14 04:30 nobody max@01-14 04:30",
            "01-14 07:00-01-14 08:00 nobody lee@01-14 09:00",
        ]
    );
}

#[test]
fn one_agent_alone_is_thin_and_never_a_gap() {
    let world = world(ATLANTIC);
    assert_eq!(
        gaps(&world, "en", "2026-01-13T00:00Z", 1, true),
        [
            "01-13 07:00-01-13 09:00 max lee@01-13 09:00",
            "01-13 09:00-01-13 10:00 lee max@01-14 03:00",
        ]
    );
}

#[test]
fn languages_are_grouped_and_must_be_spoken_well_enough() {
    let mut world = world(ATLANTIC);
    let at = ms("2026-01-13T00:00Z");
    let schedules = coverage::resolve(&world, at).unwrap();
    let languages = |world: &api::Configuration| -> Vec<String> {
        let cover = coverage::cover(world, &schedules, &world.queues[0]).unwrap();
        let told = cover.languages.iter().map(|l| {
            let whenever = l.whenever.join(",");
            format!("{} {} {whenever}", l.label, l.planned())
        });
        told.collect()
    };
    // en-GB, en-US and en are one, as are pt-PT and pt-BR; working is no fluent.
    assert_eq!(
        languages(&world),
        ["en true noa", "he false noa", "pt true ", "zh-Hant false "]
    );
    world.queues[0].steps = vec![api::RelaxationStep {
        language_level: api::LanguageLevel::Working as i32,
        regions: vec!["eu".to_owned()],
        ..Default::default()
    }];
    assert_eq!(
        languages(&world),
        ["en true ", "he false ", "pt true ", "zh-Hant true "]
    );
}

#[test]
fn a_slot_shows_the_fewest_while_open() {
    let world = world(ATLANTIC);
    let start = ms("2026-03-10T06:00Z");
    let schedules = coverage::resolve(&world, start).unwrap();
    let cover = coverage::cover(&world, &schedules, &world.queues[0]).unwrap();
    let window = Span {
        start,
        end: start + DAY_MS / 4,
    };
    let slots = cover.languages[0].slots(cover.open, window, 3);
    let slot = |agents, open| Slot { agents, open };
    assert_eq!(slots, [slot(1, true), slot(0, true), slot(1, false)]);
}

#[test]
fn the_sun_order_is_the_cores() {
    let world = world(ATLANTIC);
    let order = |at: &str| {
        let schedules = coverage::resolve(&world, ms(at)).unwrap();
        coverage::sun_order(&world, &schedules, ms(at)).unwrap()
    };
    assert_eq!(order("2026-01-13T10:00Z"), ["eu", "us"]);
    assert_eq!(order("2026-01-13T04:00Z"), ["us", "eu"]);
    assert_eq!(order("2026-01-13T18:00Z"), ["us", "eu"], "begins sooner");
}

#[test]
fn instants_and_dates_are_read() {
    for text in ["2026-12-25", "2026-12-25T00:00Z", "2026-12-25T01:00+01:00"] {
        let at = super::instant(text).unwrap();
        assert_eq!(at.to_string(), "2026-12-25T00:00:00Z", "{text}");
    }
    for text in ["1969-12-31", "noon", "2026-12-25T00:00", "9001-01-01"] {
        assert!(super::instant(text).is_err(), "{text}");
    }
}
