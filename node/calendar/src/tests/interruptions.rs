//! Breaks and closures.

use super::{HOUR, at, daily, time};
use crate::outlook::{Note, outlook, total};
use crate::{CLOSURES_MAX, Closure, Hours, Plan, REASON_BYTES_MAX, Span, WeeklyShift};
use jiff::civil::Weekday;

fn closure(from: &str, to: &str) -> Closure {
    Closure {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        reason: "moving".into(),
    }
}

fn with_breaks(plan: Plan, start: &str, end: &str) -> Hours {
    Hours {
        breaks: daily(&plan.zone, start, end).week,
        ..Hours::from(plan)
    }
}

fn text(spans: &[Span]) -> Vec<String> {
    let of = |ms| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    spans
        .iter()
        .map(|s| format!("{} {}", of(s.start), of(s.end)))
        .collect()
}

#[test]
fn breaks_are_of_the_shift_but_take_no_offers() {
    let hours = with_breaks(daily("Asia/Kolkata", "09:00", "17:00"), "12:30", "13:00");
    let from = at("2026-11-25T00:00:00Z");
    assert_eq!(
        text(&hours.resolve(from, 1).unwrap()),
        [
            "2026-11-25T03:30:00Z 2026-11-25T07:00:00Z",
            "2026-11-25T07:30:00Z 2026-11-25T11:30:00Z"
        ]
    );
    assert_eq!(
        text(&hours.shifts(from, 1).unwrap()),
        ["2026-11-25T03:30:00Z 2026-11-25T11:30:00Z"]
    );
    assert_eq!(
        text(&hours.breaks(from, 1).unwrap()),
        ["2026-11-25T07:00:00Z 2026-11-25T07:30:00Z"]
    );
}

#[test]
fn breaks_of_a_night_follow_the_clock() {
    let hours = with_breaks(daily("Europe/London", "22:00", "06:00"), "02:00", "02:30");
    let breaks = |from| text(&hours.breaks(at(from), 1).unwrap());
    assert_eq!(
        breaks("2026-03-28T12:00:00Z"),
        ["2026-03-29T01:00:00Z 2026-03-29T01:30:00Z"]
    );
    assert_eq!(
        breaks("2026-10-24T12:00:00Z"),
        ["2026-10-25T02:00:00Z 2026-10-25T02:30:00Z"]
    );
    // Two pieces of one night, also when the question is asked after the break.
    let asked_late = hours.resolve(at("2026-10-25T04:00:00Z"), 1).unwrap();
    assert_eq!(
        text(&asked_late[..1]),
        ["2026-10-25T02:30:00Z 2026-10-25T06:00:00Z"]
    );
}

#[test]
fn a_break_over_midnight_of_a_shift_round_the_clock() {
    let hours = with_breaks(daily("Europe/London", "00:00", "00:00"), "23:45", "00:15");
    let from = at("2026-11-25T12:00:00Z");
    let breaks = hours.breaks(from, 2).unwrap();
    assert_eq!(
        text(&breaks),
        [
            "2026-11-25T23:45:00Z 2026-11-26T00:15:00Z",
            "2026-11-26T23:45:00Z 2026-11-27T00:15:00Z"
        ]
    );
    let open: i64 = hours
        .resolve(from, 2)
        .unwrap()
        .iter()
        .map(|s| s.end - s.start)
        .sum();
    let shifts: i64 = hours
        .shifts(from, 2)
        .unwrap()
        .iter()
        .map(|s| s.end - s.start)
        .sum();
    assert!(shifts - open >= HOUR);
}

#[test]
fn closures_shut_everything() {
    let mut hours = with_breaks(daily("Europe/London", "09:00", "17:00"), "12:00", "13:00");
    let day = "2026-12-25".parse().unwrap();
    hours
        .plan
        .exceptions
        .insert(day, vec![(time("10:00"), time("11:00"))]);
    hours.closures = vec![
        closure("2026-12-24T12:30", "2026-12-26T00:00"),
        closure("2026-12-26T00:00", "2026-12-27T00:00"),
    ];
    let from = at("2026-12-24T00:00:00Z");
    assert_eq!(
        text(&hours.resolve(from, 4).unwrap()),
        [
            "2026-12-24T09:00:00Z 2026-12-24T12:00:00Z",
            "2026-12-27T09:00:00Z 2026-12-27T12:00:00Z",
            "2026-12-27T13:00:00Z 2026-12-27T17:00:00Z",
        ]
    );
    assert_eq!(
        text(&hours.breaks(from, 4).unwrap()),
        [
            "2026-12-24T12:00:00Z 2026-12-24T12:30:00Z",
            "2026-12-27T12:00:00Z 2026-12-27T13:00:00Z"
        ]
    );
    let days = outlook(&hours, "2026-12-24".parse().unwrap(), 4).unwrap();
    assert_eq!(days[0].notes, [Note::Closure(0)]);
    assert_eq!(days[1].notes, [Note::Exception, Note::Closure(0)]);
    assert_eq!(days[2].notes, [Note::Closure(1)]);
    assert_eq!(total(&days), 10 * HOUR);
}

#[test]
fn without_interruptions_hours_are_the_plan() {
    let plan = daily("Europe/London", "22:00", "06:00");
    let from = at("2026-03-01T04:00:00Z");
    assert_eq!(
        Hours::from(plan.clone()).resolve(from, 300),
        plan.resolve(from, 300)
    );
}

#[test]
fn wrong_interruptions_name_the_field() {
    let hours = with_breaks(daily("UTC", "09:00", "17:00"), "12:00", "13:00");
    let told = |change: &dyn Fn(&mut Hours)| {
        let mut hours = hours.clone();
        change(&mut hours);
        hours.validate().unwrap_err().to_string()
    };
    let at = |start: &str, end: &str| WeeklyShift {
        day: Weekday::Sunday,
        start: time(start),
        end: time(end),
    };
    assert!(hours.validate().is_ok());
    assert_eq!(
        told(&|h| h.breaks[2] = at("08:30", "09:30")),
        "breaks[2]: lies outside the shifts of the week; move it into one or take it out"
    );
    assert_eq!(
        told(&|h| h.breaks.push(at("12:30", "12:45"))),
        "breaks[7]: overlaps breaks[6]; merge the two or move one"
    );
    assert_eq!(
        told(&|h| h.breaks[0] = at("12:00", "12:00")),
        "breaks[0].to: ends at 12:00:00, no later than it begins; give a later end"
    );
    assert!(told(&|h| h.breaks = vec![h.breaks[0]; 71]).starts_with("breaks: 71 is out of bounds"));
    assert_eq!(
        told(&|h| h.closures = vec![closure("2026-12-24T14:00", "2026-12-24T14:00")]),
        "closures[0].to: ends at 2026-12-24T14:00:00, no later than it begins; give a later end"
    );
    let many = vec![closure("2026-12-24T14:00", "2026-12-24T15:00"); CLOSURES_MAX + 1];
    assert!(told(&|h| h.closures = many.clone()).starts_with("closures: 1001 is out of bounds"));
    let long = told(&|h| {
        h.closures = vec![closure("2026-12-24T14:00", "2026-12-24T15:00")];
        h.closures[0].reason = "x".repeat(REASON_BYTES_MAX + 1);
    });
    assert_eq!(
        long,
        "closures[0].reason: 201 is out of bounds; give 0 to 200"
    );
}
