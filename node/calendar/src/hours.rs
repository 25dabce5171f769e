//! What interrupts a plan: breaks within shifts, and closures whatever the plan says.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use meridian_routing::ids::Millis;
use meridian_routing::model::Span;

use crate::{
    CalendarError, MINUTES_A_WEEK, Plan, SHIFTS_MAX, WeeklyShift, Window, bounds, instant, merge,
    on_date, refuse_overlap,
};

/// Most closures of one schedule.
pub const CLOSURES_MAX: usize = 1_000;
/// Longest reason of a closure, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

/// A stretch of local time, in the plan's zone, in which nothing is open: neither the week nor an exception.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closure {
    /// Its first moment.
    pub from: DateTime,
    /// The first moment after it, later than `from`.
    pub to: DateTime,
    /// For people, at most [`REASON_BYTES_MAX`] bytes; may be empty.
    pub reason: String,
}

/// A plan and what interrupts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// The week and its exceptional dates.
    pub plan: Plan,
    /// Planned breaks on the day they begin, at most [`SHIFTS_MAX`], each within the week's shifts and clear
    /// of the others. They are part of the shift, but no time for offers. On a date with other hours
    /// only what falls into those is a break.
    pub breaks: Vec<WeeklyShift>,
    /// Stretches in which nothing is open, at most [`CLOSURES_MAX`], in any order; they may overlap.
    pub closures: Vec<Closure>,
}

impl From<Plan> for Hours {
    fn from(plan: Plan) -> Self {
        Self {
            plan,
            ..Self::default()
        }
    }
}

/// What a local date holds, by the shifts that begin on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Working spans, without breaks and closures.
    pub(crate) open: Vec<Span>,
    /// Breaks within the shifts.
    pub(crate) breaks: Vec<Span>,
}

impl Hours {
    /// Checks the plan, breaks and closures without resolving.
    ///
    /// # Errors
    /// The first field that is wrong; see [`CalendarError`].
    pub fn validate(&self) -> Result<TimeZone, CalendarError> {
        let zone = self.plan.validate()?;
        self.validate_breaks()?;
        bounds(
            "closures",
            self.closures.len() as u64,
            0,
            CLOSURES_MAX as u64,
        )?;
        for (i, closure) in self.closures.iter().enumerate() {
            let bytes = closure.reason.len() as u64;
            bounds(
                &format!("closures[{i}].reason"),
                bytes,
                0,
                REASON_BYTES_MAX as u64,
            )?;
            if closure.to <= closure.from {
                return Err(CalendarError::Backwards {
                    field: format!("closures[{i}].to"),
                    to: closure.to.to_string(),
                });
            }
        }
        Ok(zone)
    }

    fn validate_breaks(&self) -> Result<(), CalendarError> {
        bounds("breaks", self.breaks.len() as u64, 0, SHIFTS_MAX as u64)?;
        // A shift from 09:00 to 09:00 is a whole day; a break that long is a slip.
        if let Some(i) = self.breaks.iter().position(|b| b.start == b.end) {
            return Err(CalendarError::Backwards {
                field: format!("breaks[{i}].to"),
                to: self.breaks[i].end.to_string(),
            });
        }
        let named = |(i, b): (usize, &WeeklyShift)| {
            let (start, end) = b.minutes();
            (format!("breaks[{i}]"), start, end)
        };
        let breaks: Vec<_> = self.breaks.iter().enumerate().map(named).collect();
        // Twice round, so that Sunday's night and Monday's morning are one stretch.
        let shifts = self.plan.week.iter().flat_map(|s| {
            let (start, end) = s.minutes();
            [0, MINUTES_A_WEEK].map(|week| Span {
                start: start + week,
                end: end + week,
            })
        });
        let shifts = merge(shifts.collect());
        for (field, start, end) in &breaks {
            let within = |week: i64| {
                let mut shifts = shifts.iter();
                shifts.any(|s| s.start <= start + week && end + week <= s.end)
            };
            if !(within(0) || within(MINUTES_A_WEEK)) {
                let field = field.clone();
                return Err(CalendarError::BreakOutside { field });
            }
        }
        refuse_overlap(breaks, Some(MINUTES_A_WEEK))
    }

    /// The spans in which offers are made, within `from .. from + days` or reaching into it: shifts without
    /// breaks and closures; ordered, merged where they meet, none empty.
    ///
    /// # Errors
    /// As [`Hours::validate`]; `days` must be 1 to [`crate::HORIZON_DAYS_MAX`].
    pub fn resolve(&self, from: Millis, days: u32) -> Result<Vec<Span>, CalendarError> {
        self.collect(from, days, |begun| begun.open)
    }

    /// The shifts, breaks included, without closures; otherwise as [`Hours::resolve`].
    ///
    /// # Errors
    /// As [`Hours::resolve`].
    pub fn shifts(&self, from: Millis, days: u32) -> Result<Vec<Span>, CalendarError> {
        self.collect(from, days, |begun| [begun.open, begun.breaks].concat())
    }

    /// The breaks within shifts, without what a closure takes; otherwise as [`Hours::resolve`].
    ///
    /// # Errors
    /// As [`Hours::resolve`].
    pub fn breaks(&self, from: Millis, days: u32) -> Result<Vec<Span>, CalendarError> {
        self.collect(from, days, |begun| begun.breaks)
    }

    fn collect(
        &self,
        from: Millis,
        days: u32,
        pick: impl Fn(Begun) -> Vec<Span>,
    ) -> Result<Vec<Span>, CalendarError> {
        let zone = self.validate()?;
        let window = Window::new(&zone, from, days)?;
        let closed = self.closed(&zone)?;
        let mut spans = Vec::new();
        for date in window.dates() {
            spans.extend(pick(self.begun_on(&zone, date?, &closed)?));
        }
        Ok(window.touching(spans))
    }

    /// The closures as ordered spans that do not touch.
    pub(crate) fn closed(&self, zone: &TimeZone) -> Result<Vec<Span>, CalendarError> {
        let mut spans = Vec::with_capacity(self.closures.len());
        for closure in &self.closures {
            let at = |t: DateTime| instant(zone, t.date(), t.time());
            let (start, end) = (at(closure.from)?, at(closure.to)?);
            if start < end {
                spans.push(Span { start, end });
            }
        }
        Ok(merge(spans))
    }

    /// What begins on a date; `closed` as [`Hours::closed`] gives it.
    pub(crate) fn begun_on(
        &self,
        zone: &TimeZone,
        date: Date,
        closed: &[Span],
    ) -> Result<Begun, CalendarError> {
        let shifts = without(&self.plan.begun_on(zone, date)?, closed);
        if self.breaks.is_empty() {
            return Ok(Begun {
                open: shifts,
                breaks: Vec::new(),
            });
        }
        // A break of the night before may reach into a shift, and a shift into breaks of the next day.
        let mut breaks = Vec::new();
        for away in -1..=1 {
            let day = date
                .checked_add(away.days())
                .map_err(|_| CalendarError::OutOfRange)?;
            breaks.extend(on_date(zone, day, self.breaks_of(day))?);
        }
        let breaks = merge(breaks);
        let open = without(&shifts, &breaks);
        let breaks = without(&shifts, &merge(open.clone()));
        Ok(Begun { open, breaks })
    }

    fn breaks_of(&self, date: Date) -> Vec<(Time, Time)> {
        let today = self.breaks.iter().filter(|b| b.day == date.weekday());
        today.map(|b| (b.start, b.end)).collect()
    }
}

/// What the holes, ordered and apart, leave of each span.
pub(crate) fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut left = Vec::with_capacity(spans.len());
    for span in spans {
        let mut start = span.start;
        let first = holes.partition_point(|h| h.end <= span.start);
        for hole in holes[first..].iter().take_while(|h| h.start < span.end) {
            if start < hole.start {
                left.push(Span {
                    start,
                    end: hole.start,
                });
            }
            start = hole.end;
        }
        if start < span.end {
            left.push(Span {
                start,
                end: span.end,
            });
        }
    }
    left
}
