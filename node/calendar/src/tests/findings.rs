//! What the lint tells.

use super::{daily, time};
use crate::lint::lint;
use crate::{Closure, Hours, Plan, WeeklyShift};
use jiff::civil::{Date, Weekday};

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn told(hours: &Hours, today: &str) -> Vec<String> {
    let found = lint(hours, date(today));
    found
        .into_iter()
        .map(|f| format!("{}: {}", f.at, f.problem))
        .collect()
}

fn plan(start: &str, end: &str) -> Hours {
    Hours::from(daily("Europe/London", start, end))
}

#[test]
fn a_plain_plan_is_clean() {
    assert_eq!(told(&plan("09:00", "17:00"), "2026-11-25"), [""; 0]);
    assert_eq!(told(&plan("00:00", "00:00"), "2026-11-25"), [""; 0]);
}

#[test]
fn what_never_opens_and_what_is_invalid() {
    let empty = Hours::from(Plan {
        zone: "UTC".into(),
        ..Plan::default()
    });
    assert_eq!(
        told(&empty, "2026-11-25"),
        ["week: has no shifts, so it never opens"]
    );
    let found = lint(&Hours::default(), date("2026-11-25"));
    assert_eq!(found[0].at, "zone");
    assert_eq!(found[0].problem, "'' is not an IANA time zone");
    assert_eq!(found[0].fix, "use a name such as Europe/Lisbon");
}

#[test]
fn edges_the_clock_moves_are_dated() {
    assert_eq!(
        told(&plan("01:30", "05:00"), "2026-11-25"),
        [
            "week[6]: starts at 01:30 on 2027-03-28, which the clock skips: it is 2027-03-28 02:30",
            "week[6]: starts at 01:30 on 2027-10-31, which comes twice: the first counts",
        ]
    );
    assert_eq!(
        told(&plan("22:00", "01:30"), "2026-11-25"),
        [
            "week[5]: ends at 01:30 on 2027-03-28, which the clock skips: it is 2027-03-28 02:30",
            "week[5]: ends at 01:30 on 2027-10-31, which comes twice: the first counts",
        ]
    );
    let swallowed = told(&plan("01:30", "02:00"), "2026-11-25");
    assert!(
        swallowed
            .contains(&"week[6]: does not happen on 2027-03-28: the clock skips it".to_owned()),
        "{swallowed:?}"
    );
}

#[test]
fn dates_that_say_nothing() {
    let mut hours = plan("09:00", "17:00");
    hours
        .plan
        .holidays
        .extend([date("2025-12-25"), date("2025-12-26"), date("2026-12-25")]);
    let day = |start, end| vec![(time(start), time(end))];
    hours.plan.exceptions.extend([
        (date("2026-01-01"), vec![]),
        (date("2026-12-24"), day("09:00", "17:00")),
        (date("2026-12-25"), day("10:00", "11:00")),
        (date("2026-12-30"), day("20:00", "10:00")),
    ]);
    assert_eq!(
        told(&hours, "2026-11-25"),
        [
            "holidays: 2 have passed, the last on 2025-12-26",
            "exceptions[2026-01-01]: has passed",
            "exceptions[2026-12-24]: says what every Thursday says",
            "exceptions[2026-12-25]: is a holiday too, which counts for nothing beside it",
            "exceptions[2026-12-30]: the night of 2026-12-30 overlaps the hours of 2026-12-31",
        ]
    );
}

#[test]
fn shifts_and_closures_that_change_nothing_or_all() {
    let closure = |from: &str, to: &str| Closure {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        reason: String::new(),
    };
    let mut hours = plan("09:00", "17:00");
    hours.closures = vec![
        closure("2026-01-01T00:00", "2026-01-02T00:00"),
        closure("2026-12-24T18:00", "2026-12-25T08:00"),
        closure("2026-12-24T12:00", "2026-12-24T18:00"),
    ];
    assert_eq!(
        told(&hours, "2026-11-25"),
        [
            "closures[0]: has passed",
            "closures[1]: shuts nothing: there is no shift in it"
        ]
    );
    hours.closures = vec![closure("2026-11-01T00:00", "2028-11-01T00:00")];
    let all = told(&hours, "2026-11-25");
    assert!(
        all.contains(&"closures: shut every shift before 2027-12-30".to_owned()),
        "{all:?}"
    );
    assert!(all[0].starts_with("week[0]: never happens"));

    // A Friday that is a holiday each week.
    let mut hours = plan("09:00", "17:00");
    hours.plan.week = vec![WeeklyShift {
        day: Weekday::Friday,
        start: time("09:00"),
        end: time("12:00"),
    }];
    let mut friday = date("2026-11-27");
    while friday < date("2028-01-01") {
        hours.plan.holidays.insert(friday);
        friday = friday.checked_add(jiff::Span::new().days(7)).unwrap();
    }
    assert_eq!(
        told(&hours, "2026-11-25"),
        ["week[0]: never happens: holidays, exceptions and closures take every one"]
    );
}
