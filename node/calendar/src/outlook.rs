//! Coming days as people read them: what begins on each local date, and what is special about it.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use meridian_routing::ids::Millis;
use meridian_routing::model::Span;

use crate::{CalendarError, HORIZON_DAYS_MAX, Hours, bounds, merge};

/// A local date and the shifts that begin on it. A night that reaches past midnight stands here whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date in the plan's zone.
    pub date: Date,
    /// Working spans, without breaks and closures, in order; they may meet.
    pub open: Vec<Span>,
    /// Breaks within the shifts, in order.
    pub breaks: Vec<Span>,
    /// What is special.
    pub notes: Vec<Note>,
}

/// What is special about a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is in the plan's holidays.
    Holiday,
    /// It has hours of its own.
    Exception,
    /// A closure, by its number in [`Hours::closures`], takes some of it.
    Closure(usize),
    /// The clock is put forward or back.
    Clock(ClockChange),
    /// The zone never had this date; its hours fall on the next.
    Skipped,
}

/// The clock is put forward or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// When, in UTC milliseconds.
    pub at: Millis,
    /// The local time that is reached and not shown.
    pub from: DateTime,
    /// The local time that is shown instead.
    pub to: DateTime,
}

/// The days from `from` on.
///
/// # Errors
/// As [`Hours::validate`]; `days` must be 1 to [`HORIZON_DAYS_MAX`].
pub fn outlook(hours: &Hours, from: Date, days: u32) -> Result<Vec<Day>, CalendarError> {
    let zone = hours.validate()?;
    bounds("days", u64::from(days), 1, u64::from(HORIZON_DAYS_MAX))?;
    let closed = hours.closed(&zone)?;
    let changes = clock_changes(&zone, from, days)?;
    let mut outlook = Vec::new();
    for n in 0..i64::from(days) {
        let date = later(from, n)?;
        let mut begun = hours.begun_on(&zone, date, &closed)?;
        begun.open.sort();
        begun.breaks.sort();
        outlook.push(Day {
            date,
            open: begun.open,
            breaks: begun.breaks,
            notes: notes(hours, &zone, date, &changes)?,
        });
    }
    Ok(outlook)
}

/// Milliseconds open in these days, what two of them share counted once.
pub fn total(days: &[Day]) -> Millis {
    let spans = days.iter().flat_map(|d| d.open.iter().copied());
    merge(spans.collect()).iter().map(|s| s.end - s.start).sum()
}

fn notes(
    hours: &Hours,
    zone: &TimeZone,
    date: Date,
    changes: &[ClockChange],
) -> Result<Vec<Note>, CalendarError> {
    let mut notes = Vec::new();
    if hours.plan.holidays.contains(&date) {
        notes.push(Note::Holiday);
    }
    if hours.plan.exceptions.contains_key(&date) {
        notes.push(Note::Exception);
    }
    let (midnight, next) = (date.at(0, 0, 0, 0), later(date, 1)?.at(0, 0, 0, 0));
    for (i, closure) in hours.closures.iter().enumerate() {
        if closure.from < next && midnight < closure.to {
            notes.push(Note::Closure(i));
        }
    }
    // Of a skipped date the change stands with the date that is shown.
    let today = changes.iter().filter(|c| c.to.date() == date);
    notes.extend(today.map(|c| Note::Clock(*c)));
    let start = zone.to_ambiguous_timestamp(midnight).compatible();
    let start = start.map_err(|_| CalendarError::OutOfRange)?;
    if start.to_zoned_datetime(zone.clone()).date() != date {
        notes.push(Note::Skipped);
    }
    Ok(notes)
}

/// Every time the clock is put forward or back within the local dates from `from` on, in order.
///
/// # Errors
/// [`CalendarError::OutOfRange`].
pub fn clock_changes(
    zone: &TimeZone,
    from: Date,
    days: u32,
) -> Result<Vec<ClockChange>, CalendarError> {
    let midnight = |date: Date| -> Result<Timestamp, CalendarError> {
        let at = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        at.compatible().map_err(|_| CalendarError::OutOfRange)
    };
    // Strictly after what is given; a change at midnight itself belongs to the day.
    let first = midnight(from)?.as_millisecond() - 1;
    let first = Timestamp::from_millisecond(first).map_err(|_| CalendarError::OutOfRange)?;
    let until = midnight(later(from, i64::from(days))?)?;
    let mut changes = Vec::new();
    for change in zone.following(first).take_while(|c| c.timestamp() < until) {
        let at = change.timestamp();
        let before = at
            .checked_sub(1.nanosecond())
            .map_err(|_| CalendarError::OutOfRange)?;
        let (before, after) = (zone.to_offset(before), change.offset());
        // Some changes are only of the abbreviation.
        if before != after {
            changes.push(ClockChange {
                at: at.as_millisecond(),
                from: before.to_datetime(at),
                to: after.to_datetime(at),
            });
        }
    }
    Ok(changes)
}

pub(crate) fn later(date: Date, days: i64) -> Result<Date, CalendarError> {
    date.checked_add(days.days())
        .map_err(|_| CalendarError::OutOfRange)
}
