//! Holidays and closures from an iCalendar file (RFC 5545).
//!
//! Events of whole days are holidays, events with times are closures. Recurrence, exclusions, moved and
//! cancelled instances count. A recurrence is worked out on the wall clock of the event's own zone, with the
//! zone data of this program: the library that expands it sees plain local times as if they were UTC, so its
//! own zone data, and its refusal of an `UNTIL` in another zone than the start, play no part.
//!
//! What is not read: tasks and journals, free and busy times, definitions of zones (`TZID` must be an IANA
//! name), recurrences by the hour or shorter, and changes to an instance and all after it.

mod event;
mod lines;
mod recur;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::outlook::later;
use crate::{CLOSURES_MAX, CalendarError, Closure, HORIZON_DAYS_MAX, REASON_BYTES_MAX, bounds};
use event::{Event, Moment};

/// Longest file, in bytes.
pub const BYTES_MAX: usize = 8 << 20;
/// Most events of one file.
pub const EVENTS_MAX: usize = 20_000;

/// What a file holds for the days asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Whole days with what they are called, by date and each date once; of two names both stand.
    pub dates: Vec<(Date, String)>,
    /// Stretches with times, in the zone asked for, by their beginning; at most [`CLOSURES_MAX`]. Seconds
    /// are kept. Where an edge falls into an hour that the clock repeats, the closure is longer, not shorter.
    pub closures: Vec<Closure>,
}

/// Why a file cannot be read. Lines count from 1; of a folded line the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IcalError {
    /// It is no iCalendar.
    #[error("line {line}: {problem}; {fix}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        problem: String,
        /// What to give.
        fix: &'static str,
    },
    /// A property cannot be understood.
    #[error("line {line}: {property}: {problem}; {fix}")]
    Property {
        /// Where; 0 is never given, the event's first line stands for a property that is missing.
        line: usize,
        /// Which.
        property: &'static str,
        /// What is wrong.
        problem: String,
        /// What to give.
        fix: &'static str,
    },
    /// The file is larger than what is read.
    #[error("file: has {given} {what}; give at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are, or were when counting stopped.
        given: usize,
        /// Largest allowed.
        max: usize,
    },
    /// The zone or the days asked for are wrong.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
}

/// The holidays and closures of a file within `days` local dates from `from` on. `zone` is where they are
/// kept: floating times are of it, others are told in it.
///
/// # Errors
/// The first thing that is wrong; `days` must be 1 to [`HORIZON_DAYS_MAX`].
pub fn holidays_from(text: &str, from: Date, days: u32, zone: &str) -> Result<Imported, IcalError> {
    bounds("days", days.into(), 1, HORIZON_DAYS_MAX.into())?;
    let home = crate::zone(zone)?;
    let window = (from, later(from, days.into())?);
    let events = event::read(text, &home)?;

    // Instances that another event replaces or cancels, by the series.
    let mut replaced: BTreeMap<&str, BTreeSet<DateTime>> = BTreeMap::new();
    let series: BTreeMap<_, _> = events
        .iter()
        .filter(|e| e.instead_of.is_none())
        .map(|e| (e.uid.as_str(), e))
        .collect();
    for event in events.iter().filter(|e| !e.uid.is_empty()) {
        if let (Some(instance), Some(series)) = (&event.instead_of, series.get(event.uid.as_str()))
        {
            let local = instance.in_zone_of(&series.start)?;
            replaced.entry(&event.uid).or_default().insert(local);
        }
    }
    let mut names: BTreeMap<Date, Vec<&str>> = BTreeMap::new();
    let mut closures = BTreeSet::new();
    for event in events.iter().filter(|e| !e.cancelled) {
        let none = BTreeSet::new();
        let skip = match event.instead_of {
            None => replaced.get(event.uid.as_str()).unwrap_or(&none),
            Some(_) => &none,
        };
        for start in recur::instances(event, skip, window)? {
            place(event, start, window, &home, &mut names, &mut closures)?;
            if closures.len() > CLOSURES_MAX {
                return Err(IcalError::TooMany {
                    what: "closures in these days",
                    given: closures.len(),
                    max: CLOSURES_MAX,
                });
            }
        }
    }
    let dates = names
        .into_iter()
        .map(|(date, names)| (date, names.join(", ")));
    Ok(Imported {
        dates: dates.collect(),
        closures: closures.into_iter().collect(),
    })
}

/// Puts one instance where it belongs.
fn place<'a>(
    event: &'a Event,
    start: DateTime,
    window: (Date, Date),
    home: &TimeZone,
    names: &mut BTreeMap<Date, Vec<&'a str>>,
    closures: &mut BTreeSet<Closure>,
) -> Result<(), IcalError> {
    let out_of_range = |_| CalendarError::OutOfRange;
    if let Moment::Date(_) = event.start {
        let mut date = start.date().max(window.0);
        let end = start
            .checked_add(event.length)
            .map_err(out_of_range)?
            .date();
        while date < end.min(window.1) {
            let names = names.entry(date).or_default();
            if !names.contains(&event.name.as_str()) {
                names.push(&event.name);
            }
            date = later(date, 1)?;
        }
        return Ok(());
    }
    let (from, to) = event.span(start)?;
    let (from, to) = (before(home, from)?, after(home, to)?);
    if from < to && from.date() < window.1 && window.0.at(0, 0, 0, 0) < to {
        let mut reason = event.name.clone();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        closures.insert(Closure { from, to, reason });
    }
    Ok(())
}

/// The local time of an instant; in a repeated hour that of its first showing.
fn before(zone: &TimeZone, at: Timestamp) -> Result<DateTime, CalendarError> {
    Ok(zone.to_datetime(at))
}

/// A local time that as a plan reads it is no earlier than an instant: in the second showing of a repeated
/// hour the end of that hour.
fn after(zone: &TimeZone, at: Timestamp) -> Result<DateTime, CalendarError> {
    let local = zone.to_datetime(at);
    let read = zone.to_ambiguous_timestamp(local).compatible();
    let read = read.map_err(|_| CalendarError::OutOfRange)?;
    if read >= at {
        return Ok(local);
    }
    // The clock was put back before `at`; where it was put back from is where the repetition ends.
    let change = zone.preceding(at).next();
    Ok(change.map_or(local, |change| {
        let before = change.timestamp() - jiff::SignedDuration::from_nanos(1);
        zone.to_offset(before).to_datetime(change.timestamp())
    }))
}
