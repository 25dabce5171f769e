//! When an event takes place.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

use super::IcalError;
use super::event::{Event, Moment};
use crate::outlook::later;

/// Most instances of one event that are looked at, from its start on: a daily one since 1900.
const INSTANCES_MAX: usize = 50_000;

/// The local beginnings of an event that may touch the dates from the first up to the second of `window`.
pub(super) fn instances(
    event: &Event,
    replaced: &BTreeSet<DateTime>,
    window: (Date, Date),
) -> Result<BTreeSet<DateTime>, IcalError> {
    let first = event.start.local();
    let mut starts = BTreeSet::from([first]);
    if let Some((rule, line)) = &event.rule {
        starts = repeat(event, rule, *line, window)?;
    }
    for also in &event.also {
        starts.insert(also.in_zone_of(&event.start)?);
    }
    let mut dates = BTreeSet::new();
    for except in &event.except {
        // An exclusion by date takes whatever begins on it, though strictly it must match in kind.
        match except {
            Moment::Date(date) => drop(dates.insert(*date)),
            Moment::Local(..) => drop(starts.remove(&except.in_zone_of(&event.start)?)),
        }
    }
    starts.retain(|s| !dates.contains(&s.date()) && !replaced.contains(s));
    // Zones are at most a day apart from each other, on either side.
    let (from, until) = (later(window.0, -(event.days + 2))?, later(window.1, 2)?);
    starts.retain(|s| (from..until).contains(&s.date()));
    Ok(starts)
}

/// Expands a rule on the wall clock, told to the library as if it were UTC.
fn repeat(
    event: &Event,
    rule: &str,
    line: usize,
    window: (Date, Date),
) -> Result<BTreeSet<DateTime>, IcalError> {
    let wrong = |problem: String, fix| IcalError::Property {
        line,
        property: "RRULE",
        problem,
        fix,
    };
    let malformed = |error: rrule::RRuleError| {
        let fix = "write it like FREQ=YEARLY;UNTIL=20301231";
        wrong(format!("'{rule}' is no rule ({error})"), fix)
    };
    // The library cuts days of the week apart by bytes.
    if !rule.is_ascii() {
        let fix = "write it like FREQ=YEARLY;UNTIL=20301231";
        return Err(wrong(format!("'{rule}' is no rule"), fix));
    }
    let first = event.start.local();
    let rule_text = with_local_until(event, rule).map_err(|text| {
        wrong(
            format!("'{text}' is no time to end at"),
            "write UNTIL=20301231",
        )
    })?;
    let parsed: RRule<Unvalidated> = rule_text.parse().map_err(malformed)?;
    let times = [
        parsed.get_by_hour(),
        parsed.get_by_minute(),
        parsed.get_by_second(),
    ];
    if parsed.get_freq() > Frequency::Daily || times.iter().any(|t| !t.is_empty()) {
        let problem = format!("'{rule}' chooses times of day");
        return Err(wrong(
            problem,
            "give FREQ=DAILY or longer, and the time as the start",
        ));
    }
    let text = format!(
        "DTSTART:{}Z\nRRULE:{rule_text}",
        first.strftime("%Y%m%dT%H%M%S")
    );
    let set: RRuleSet = match text.parse() {
        Ok(set) => set,
        // Ended before it began: the start alone remains.
        Err(rrule::RRuleError::ValidationError(rrule::ValidationError::UntilBeforeStart {
            ..
        })) => return Ok(BTreeSet::from([first])),
        Err(error) => return Err(malformed(error)),
    };
    let until = later(window.1, 2)?;
    let mut starts = BTreeSet::new();
    // Limited, the library gives up on rules that match no day; the rest is bounded here.
    for (n, at) in set.limit().into_iter().enumerate() {
        // Beyond the year 9999 there is nothing to close.
        let Ok(at) = Timestamp::from_second(at.timestamp()) else {
            break;
        };
        let local = TimeZone::UTC.to_datetime(at);
        if local.date() >= until {
            break;
        }
        if n == INSTANCES_MAX {
            let problem = format!("'{rule}' comes more than {INSTANCES_MAX} times");
            return Err(wrong(problem, "begin the series later"));
        }
        starts.insert(local);
    }
    Ok(starts)
}

/// The rule with its `UNTIL` on the wall clock of the start. One that is only a date takes its whole day in.
fn with_local_until(event: &Event, rule: &str) -> Result<String, String> {
    let part = |part: &str| -> Result<String, String> {
        let until = part
            .split_once('=')
            .filter(|(key, _)| key.eq_ignore_ascii_case("UNTIL"));
        let Some((_, text)) = until else {
            return Ok(part.to_owned());
        };
        let until = until_local(event, text).ok_or_else(|| text.to_owned())?;
        Ok(format!("UNTIL={}Z", until.strftime("%Y%m%dT%H%M%S")))
    };
    let parts: Result<Vec<_>, _> = rule.split(';').map(part).collect();
    Ok(parts?.join(";"))
}

fn until_local(event: &Event, text: &str) -> Option<DateTime> {
    if let (8, Ok(date)) = (text.len(), Date::strptime("%Y%m%d", text)) {
        return Some(date.at(23, 59, 59, 0));
    }
    let local = |text: &str| DateTime::strptime("%Y%m%dT%H%M%S", text).ok();
    match (text.strip_suffix(['Z', 'z']), &event.start) {
        (Some(utc), Moment::Local(_, zone)) => {
            let at = TimeZone::UTC.to_timestamp(local(utc)?).ok()?;
            Some(zone.to_datetime(at))
        }
        (Some(text), Moment::Date(_)) => local(text),
        (None, _) => local(text),
    }
}
