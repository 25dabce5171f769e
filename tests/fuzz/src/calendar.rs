//! Working hours: OpenStreetMap's and iCalendar's, and plans in every zone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::{Date, Time, Weekday};
use meridian_calendar::ical::{IcalError, holidays_from};
use meridian_calendar::osm::{self, Known, OsmError};
use meridian_calendar::outlook::{clock_changes, outlook, total};
use meridian_calendar::{
    CLOSURES_MAX, CalendarError, Closure, Finding, Hours, Plan, Span, WeeklyShift, lint, zone,
};

use crate::names;
use crate::source::Source;

/// Zones of every kind: none, half and three quarters of an hour, a change of the clock at midnight, of half an hour, a
/// skipped date, negative summer time.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Lisbon",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Europe/Dublin",
    "no/such",
];

fn refused(error: &CalendarError) {
    let (field, problem) = error.at_fault();
    names(&field, error);
    assert!(!problem.is_empty(), "{error}");
}

fn found(findings: &[Finding]) {
    for finding in findings {
        names(&finding.at, &finding.problem);
        assert!(!finding.fix.is_empty(), "{}", finding.problem);
    }
}

fn ordered(spans: &[Span]) {
    assert!(spans.iter().all(|s| s.start < s.end), "{spans:?}");
    assert!(spans.is_sorted_by(|a, b| a.end < b.start), "{spans:?}");
}

fn date(source: &mut Source<'_>) -> Date {
    let start = match source.below(16) {
        13 => Date::MAX,
        14 => Date::MIN,
        15 => Date::constant(2011, 12, 20),
        _ => Date::constant(2026, 3, 20),
    };
    let days = i64::from(source.u64() as u8);
    start.saturating_add(days.days())
}

/// A text of `opening_hours`, in some zone, with or without holidays.
pub fn opening_hours(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(4));
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut source = Source::new(head);
    let zone = source.of(&ZONES);
    let from = date(&mut source);
    let holiday = from.saturating_add(3.days());
    let known = Known {
        holidays: source.once_in(2).then_some(holiday).into_iter().collect(),
        from,
        days: 40,
    };
    found(&osm::lint(text, &known));
    match osm::import(text, zone, &known) {
        Ok(plan) => {
            let today = from.saturating_sub(1.day());
            let hours = Hours::from(plan);
            found(&lint::lint(&hours, today));
            written(&hours.plan, &known);
            spans(&hours, from);
        }
        Err(OsmError::Syntax { at, problem, .. }) => names(&at, &problem),
        Err(OsmError::NotRepresentable { at, part, .. }) => names(&at, &part),
        Err(OsmError::HolidaysUnknown { at }) => names(&at, &"unknown holidays"),
        Err(OsmError::Plan(error)) => refused(&error),
    }
}

/// A plan written as a text reads back as the same hours, day by day.
fn written(plan: &Plan, known: &Known) {
    let text = osm::export(plan);
    let known = Known {
        holidays: BTreeSet::new(),
        ..known.clone()
    };
    let again = match osm::import(&text, &plan.zone, &known) {
        Ok(again) => again,
        Err(OsmError::Plan(CalendarError::OutOfRange)) => return,
        Err(error) => panic!("'{text}' is written, and not read: {error}"),
    };
    let day = |plan: &Plan, date: Date| {
        let week = plan.week.iter().filter(|s| s.day == date.weekday());
        let mut hours: Vec<_> = match plan.exceptions.get(&date) {
            Some(hours) => hours.clone(),
            None if plan.holidays.contains(&date) => Vec::new(),
            None => week.map(|s| (s.start, s.end)).collect(),
        };
        hours.sort();
        hours
    };
    for n in 0..i64::from(known.days) {
        // The format has no words for dates before 1900.
        let date = known.from.checked_add(n.days());
        if let Some(date) = date.ok().filter(|date| date.year() >= 1900) {
            assert_eq!(
                day(&again, date),
                day(plan, date),
                "on {date}, written '{text}'"
            );
        }
    }
}

/// What a plan comes to is in order, however it is asked.
fn spans(hours: &Hours, from: Date) {
    let at = from.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let from_ms = at.map_or(i64::MAX, |at| at.timestamp().as_millisecond());
    let all = [
        hours.resolve(from_ms, 14),
        hours.shifts(from_ms, 14),
        hours.breaks(from_ms, 14),
        hours.plan.resolve(from_ms, 14),
    ];
    for spans in &all {
        match spans {
            Ok(spans) => ordered(spans),
            Err(error) => refused(error),
        }
    }
    if let [Ok(open), Ok(shifts), Ok(breaks), _] = &all {
        let length = |spans: &[Span]| spans.iter().map(|s| s.end - s.start).sum::<i64>();
        assert!(
            length(open) + length(breaks) >= length(shifts),
            "time is lost"
        );
        let within = |s: &Span| shifts.iter().any(|w| w.start <= s.start && s.end <= w.end);
        assert!(
            open.iter().chain(breaks).all(within),
            "time comes from nowhere"
        );
    }
    match outlook(hours, from, 14) {
        Ok(days) => assert!((0..=15 * 24 * 3_600_000 + 86_400_000).contains(&total(&days))),
        Err(error) => refused(&error),
    }
}

/// A calendar file, for a year, in some zone.
pub fn ical(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(2));
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut source = Source::new(head);
    let zone = source.of(&ZONES);
    let from = match source.below(8) {
        6 => Date::MAX,
        7 => Date::MIN,
        n => Date::constant(2021 + n as i16, 6, 1),
    };
    let days: u32 = 366;
    match holidays_from(text, from, days, zone) {
        Ok(imported) => {
            assert!(imported.dates.is_sorted_by(|a, b| a.0 < b.0));
            let until = from.saturating_add(i64::from(days).days());
            let within = |date: Date| from <= date && date < until;
            assert!(imported.dates.iter().all(|(date, _)| within(*date)));
            assert!(imported.closures.len() <= CLOSURES_MAX);
            let hours = Hours {
                plan: Plan {
                    zone: zone.to_owned(),
                    ..Plan::default()
                },
                closures: imported.closures,
                ..Hours::default()
            };
            // What is imported is a schedule's to keep.
            hours
                .validate()
                .unwrap_or_else(|e| panic!("imported, and refused: {e}"));
        }
        Err(IcalError::Property {
            line,
            property,
            problem,
            ..
        }) => {
            assert!(line > 0, "{problem}");
            names(property, &problem);
        }
        Err(IcalError::Syntax { line, problem, .. }) => assert!(line > 0, "{problem}"),
        Err(IcalError::TooMany { given, max, .. }) => assert!(given > max),
        Err(IcalError::Calendar(error)) => refused(&error),
    }
}

fn time(source: &mut Source<'_>) -> Time {
    let minute = source.of(&[0, 30, 15, 59]);
    Time::constant(source.below(24) as i8, minute, 0, 0)
}

fn shift(source: &mut Source<'_>) -> WeeklyShift {
    let day = Weekday::Monday.wrapping_add(source.below(7) as i64);
    WeeklyShift {
        day,
        start: time(source),
        end: time(source),
    }
}

fn closure(source: &mut Source<'_>) -> Closure {
    let from = date(source).to_datetime(time(source));
    let to = match source.once_in(8) {
        true => date(source).to_datetime(time(source)),
        false => from.saturating_add((1 + source.below(100) as i64).hours()),
    };
    Closure {
        from,
        to,
        reason: "x".repeat(source.of(&[0, 1, 200, 201])),
    }
}

/// A plan with breaks, exceptions and closures, and what it comes to around some date.
pub fn plan(data: &[u8]) {
    let mut source = Source::new(data);
    let from = date(&mut source);
    let plan = Plan {
        zone: source.of(&ZONES).to_owned(),
        week: source.some(10, shift),
        holidays: source.some(4, date).into_iter().collect(),
        exceptions: source
            .some(4, |s| (date(s), s.some(3, |s| (time(s), time(s)))))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let hours = Hours {
        plan,
        breaks: source.some(4, shift),
        closures: source.some(4, closure),
    };
    spans(&hours, from);
    found(&lint::lint(&hours, from));
    let known = Known {
        holidays: BTreeSet::new(),
        from,
        days: 40,
    };
    if hours.plan.validate().is_ok() {
        written(&hours.plan, &known);
    }
    if let Ok(zone) = zone(&hours.plan.zone) {
        match clock_changes(&zone, from, 400) {
            Ok(changes) => {
                assert!(changes.is_sorted_by(|a, b| a.at < b.at));
                assert!(changes.iter().all(|c| c.from != c.to));
            }
            Err(error) => refused(&error),
        }
    }
    let schedule = meridian_cli::world::calendar::write("s", &hours);
    let read = meridian_cli::world::calendar::read(&schedule);
    // A local time in the API has four digits for the year, and minutes.
    let told = |c: &Closure| {
        let (from, to) = (c.from.year(), c.to.year());
        from >= 0 && to >= 0 && c.to.second() == 0
    };
    if hours.validate().is_ok() && hours.closures.iter().all(told) {
        let read = read.expect("what is written of valid hours is read");
        let (mut again, mut hours) = (read.hours, hours);
        for week in [
            &mut again.plan.week,
            &mut again.breaks,
            &mut hours.plan.week,
            &mut hours.breaks,
        ] {
            week.sort_by_key(|s| (s.day.to_monday_zero_offset(), s.start));
        }
        assert_eq!(again, hours);
    }
}
