//! Schedules of the public API, resolved to spans and shown again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, Time, Weekday};
use meridian_proto::livechat::v1 as api;
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::*;
use prost::Message as _;

use super::{HORIZON_DAYS, invalid};
use crate::calendar::{self, CalendarError, Closure, Hours, Plan, WeeklyShift};

pub(super) fn refused(at: &str, error: &CalendarError) -> Reject {
    let (field, rest) = error.at_fault();
    let (problem, fix) = rest.split_once("; ").unwrap_or((&rest, "correct it"));
    invalid(&format!("{at}.{field}"), problem, fix)
}

/// Resolves a schedule to UTC spans from a week before `now` on; its source travels with it.
///
/// # Errors
/// The first field at fault.
pub fn schedule(at: &str, s: &api::Schedule, now: Millis) -> Result<Schedule, Reject> {
    if !s.spans.is_empty() {
        return given_spans(at, s);
    }
    let (week, shifts) = weekly(&format!("{at}.week"), &s.week)?;
    let (breaks, pauses) = weekly(&format!("{at}.breaks"), &s.breaks)?;
    let hours = Hours {
        plan: plan(at, s, week)?,
        breaks,
        closures: closures(at, s)?,
    };
    let from = now - 7 * Millis::from(limits::DAY_MS);
    let spans = hours
        .resolve(from, HORIZON_DAYS)
        .map_err(|e| refused(at, &e.of_entries(&shifts, &pauses)))?;
    Ok(Schedule {
        id: ScheduleId::from(s.id.clone()),
        spans,
        horizon: from + Millis::from(HORIZON_DAYS) * Millis::from(limits::DAY_MS),
        zone_data: calendar::zone_data().to_owned(),
        source: s.encode_to_vec(),
        last_offer_ms: s.last_offer_ms,
        handover_ms: s.handover_ms,
        handover_to_line: s.handover_to_line,
    })
}

/// A schedule planned elsewhere is taken as it is and never resolved again.
fn given_spans(at: &str, s: &api::Schedule) -> Result<Schedule, Reject> {
    let no_plan = s.week.is_empty() && s.holidays.is_empty() && s.exceptions.is_empty();
    if !(no_plan && s.breaks.is_empty() && s.closures.is_empty()) {
        return Err(invalid(
            &format!("{at}.spans"),
            "cannot stand beside week, holidays, exceptions, breaks or closures",
            "give one or the other",
        ));
    }
    if !s.zone.is_empty() {
        calendar::zone(&s.zone).map_err(|e| refused(at, &e))?;
    }
    let mut spans = Vec::with_capacity(s.spans.len());
    for (i, span) in s.spans.iter().enumerate() {
        let at = format!("{at}.spans[{i}]");
        spans.push(Span {
            start: instant(&format!("{at}.from"), span.from_ms)?,
            end: instant(&format!("{at}.to"), span.to_ms)?,
        });
    }
    // The source repeats the spans, which the core bounds; only what shows them again is kept.
    let source = api::Schedule {
        id: s.id.clone(),
        zone: s.zone.clone(),
        last_offer_ms: s.last_offer_ms,
        handover_ms: s.handover_ms,
        handover_to_line: s.handover_to_line,
        ..Default::default()
    }
    .encode_to_vec();
    Ok(Schedule {
        id: ScheduleId::from(s.id.clone()),
        spans,
        horizon: Millis::MAX,
        zone_data: String::new(),
        source,
        last_offer_ms: s.last_offer_ms,
        handover_ms: s.handover_ms,
        handover_to_line: s.handover_to_line,
    })
}

/// A time a caller gave, inside the bounds of what may be stamped.
fn instant(field: &str, at: Millis) -> Result<Millis, Reject> {
    if (0..=limits::TIME_MAX).contains(&at) {
        return Ok(at);
    }
    Err(invalid(
        field,
        format!("{at} ms is out of bounds"),
        format!(
            "give 0 to {} ms, which is 1970 to the end of 9999",
            limits::TIME_MAX
        ),
    ))
}

/// Shifts or breaks with their days counted out, in the order they are written, and the entry each comes from.
fn weekly(at: &str, list: &[api::WeeklyShift]) -> Result<(Vec<WeeklyShift>, Vec<usize>), Reject> {
    let (mut week, mut entries) = (Vec::new(), Vec::new());
    for (i, shift) in list.iter().enumerate() {
        let at = format!("{at}[{i}]");
        if shift.days.is_empty() {
            return Err(invalid(
                &format!("{at}.days"),
                "is empty",
                "name the days: mon to sun",
            ));
        }
        let (start, until) = (
            time(&format!("{at}.from"), &shift.from)?,
            end(&format!("{at}.to"), &shift.to)?,
        );
        for (d, text) in shift.days.iter().enumerate() {
            let at = format!("{at}.days[{d}]");
            if shift.days[..d].contains(text) {
                return Err(invalid(
                    &at,
                    format!("'{text}' is named twice"),
                    "take one out",
                ));
            }
            week.push(WeeklyShift {
                day: day(&at, text)?,
                start,
                end: until,
            });
            entries.push(i);
        }
    }
    Ok((week, entries))
}

fn closures(at: &str, s: &api::Schedule) -> Result<Vec<Closure>, Reject> {
    let mut closures = Vec::with_capacity(s.closures.len());
    for (i, c) in s.closures.iter().enumerate() {
        let at = format!("{at}.closures[{i}]");
        closures.push(Closure {
            from: local(&format!("{at}.from"), &c.from)?,
            to: local(&format!("{at}.to"), &c.to)?,
            reason: c.reason.clone(),
        });
    }
    Ok(closures)
}

fn plan(at: &str, s: &api::Schedule, week: Vec<WeeklyShift>) -> Result<Plan, Reject> {
    let mut holidays = BTreeSet::new();
    for (i, text) in s.holidays.iter().enumerate() {
        holidays.insert(date(&format!("{at}.holidays[{i}]"), text)?);
    }
    let mut exceptions = BTreeMap::new();
    for (i, e) in s.exceptions.iter().enumerate() {
        let at = format!("{at}.exceptions[{i}]");
        let mut hours = Vec::new();
        for (h, span) in e.hours.iter().enumerate() {
            hours.push((
                time(&format!("{at}.hours[{h}].from"), &span.from)?,
                end(&format!("{at}.hours[{h}].to"), &span.to)?,
            ));
        }
        if exceptions
            .insert(date(&format!("{at}.date"), &e.date)?, hours)
            .is_some()
        {
            return Err(invalid(
                &format!("{at}.date"),
                format!("'{}' is named twice", e.date),
                "put its hours together",
            ));
        }
    }
    Ok(Plan {
        zone: s.zone.clone(),
        week,
        holidays,
        exceptions,
    })
}

fn day(field: &str, text: &str) -> Result<Weekday, Reject> {
    Ok(match text {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => {
            return Err(invalid(
                field,
                format!("'{text}' is no day"),
                "use mon, tue, wed, thu, fri, sat or sun",
            ));
        }
    })
}

/// When a shift ends: as when one begins, or the end of the day.
fn end(field: &str, text: &str) -> Result<Time, Reject> {
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    time(field, text)
}

fn time(field: &str, text: &str) -> Result<Time, Reject> {
    let parsed = text
        .split_once(':')
        .filter(|(h, m)| h.len() == 2 && m.len() == 2);
    let number = |t: &str| {
        t.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| t.parse::<i8>().ok())
            .flatten()
    };
    parsed
        .and_then(|(h, m)| Time::new(number(h)?, number(m)?, 0, 0).ok())
        .ok_or_else(|| {
            invalid(
                field,
                format!("'{text}' is no time of day"),
                "use HH:MM, such as 09:30",
            )
        })
}

fn date(field: &str, text: &str) -> Result<Date, Reject> {
    let plain = text.len() == 10;
    let parsed = plain.then(|| text.parse::<Date>().ok()).flatten();
    parsed.ok_or_else(|| invalid(field, format!("'{text}' is no date"), "use YYYY-MM-DD"))
}

/// A local date with its time.
fn local(field: &str, text: &str) -> Result<DateTime, Reject> {
    let parts = text.split_once('T');
    let both = parts.and_then(|(day, at)| Some((date(field, day).ok()?, time(field, at).ok()?)));
    both.map(|(day, at)| day.to_datetime(at)).ok_or_else(|| {
        let problem = format!("'{text}' is no local time");
        invalid(
            field,
            problem,
            "use YYYY-MM-DDTHH:MM, such as 2026-12-24T14:00",
        )
    })
}

pub(crate) fn show_schedule(s: &Schedule) -> api::Schedule {
    // The source was written by `schedule` above; one that cannot be read still shows its id.
    let mut shown = api::Schedule::decode(&s.source[..]).unwrap_or_else(|_| api::Schedule {
        id: s.id.to_string(),
        ..Default::default()
    });
    if s.horizon == Millis::MAX {
        shown.spans = s
            .spans
            .iter()
            .map(|span| api::UtcSpan {
                from_ms: span.start,
                to_ms: span.end,
            })
            .collect();
    }
    shown
}
