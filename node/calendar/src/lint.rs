//! What a plan may say but hardly means.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use meridian_routing::model::Span;

use crate::hours::without;
use crate::outlook::later;
use crate::{
    CalendarError, HORIZON_DAYS_MAX, Hours, MINUTES_A_DAY, instant, merge, minutes, on_date,
};

/// Something that is allowed but hardly meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where: a field such as `week[2]`, or a rule.
    pub at: String,
    /// What is odd about it, with dates where it happens on some.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub(crate) fn new(
        at: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            at: at.into(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

impl From<&CalendarError> for Finding {
    fn from(error: &CalendarError) -> Self {
        // Every error reads "field: problem; fix".
        let text = error.to_string();
        let (at, rest) = text.split_once(": ").unwrap_or(("", &text));
        let (problem, fix) = rest.split_once("; ").unwrap_or((rest, "correct it"));
        Self::new(at, problem, fix)
    }
}

/// Looks at the [`HORIZON_DAYS_MAX`] days from `today` on. A plan that is not valid has that as its one finding.
pub fn lint(hours: &Hours, today: Date) -> Vec<Finding> {
    let look = || {
        let zone = hours.validate()?;
        let closed = hours.closed(&zone)?;
        let look = Look {
            hours,
            zone,
            closed,
            today,
            end: later(today, HORIZON_DAYS_MAX.into())?,
        };
        look.all()
    };
    match look() {
        Ok(findings) => findings,
        Err(error) => vec![Finding::from(&error)],
    }
}

struct Look<'a> {
    hours: &'a Hours,
    zone: TimeZone,
    closed: Vec<Span>,
    today: Date,
    end: Date,
}

type Found = Result<Vec<Finding>, CalendarError>;

impl Look<'_> {
    fn all(&self) -> Found {
        let mut found = self.emptiness()?;
        found.extend(self.shifts()?);
        found.extend(self.dates()?);
        found.extend(self.neighbours()?);
        found.extend(self.closures()?);
        Ok(found)
    }

    fn days(&self) -> Result<Vec<Date>, CalendarError> {
        let days = 0..i64::from(HORIZON_DAYS_MAX);
        days.map(|n| later(self.today, n)).collect()
    }

    fn emptiness(&self) -> Found {
        let plan = &self.hours.plan;
        let mut found = Vec::new();
        if plan.week.is_empty() && plan.exceptions.values().all(Vec::is_empty) {
            found.push(Finding::new(
                "week",
                "has no shifts, so it never opens",
                "give the week some, or take the schedule out",
            ));
        }
        Ok(found)
    }

    /// Shifts of the week: whether each ever happens, and the edges that the clock moves.
    fn shifts(&self) -> Found {
        let plan = &self.hours.plan;
        let days = self.days()?;
        let mut found = Vec::new();
        for (i, shift) in plan.week.iter().enumerate() {
            let at = format!("week[{i}]");
            let mut happens = false;
            for date in days.iter().filter(|d| d.weekday() == shift.day) {
                if plan.holidays.contains(date) || plan.exceptions.contains_key(date) {
                    continue;
                }
                let hours = (shift.start, shift.end);
                let spans = on_date(&self.zone, *date, vec![hours])?;
                happens |= !without(&spans, &self.closed).is_empty();
                found.extend(self.edges(&at, *date, hours)?);
            }
            if !happens {
                found.push(Finding::new(
                    at,
                    "never happens: holidays, exceptions and closures take every one",
                    "take it out, or free some of its days",
                ));
            }
        }
        Ok(found)
    }

    /// What becomes of edges the clock skips or shows twice.
    fn edges(&self, at: &str, date: Date, (start, end): (Time, Time)) -> Found {
        let last = if end <= start { later(date, 1)? } else { date };
        let mut found = Vec::new();
        for (day, time, word) in [(date, start, "starts"), (last, end, "ends")] {
            let local = day.to_datetime(time);
            let time_text = time.strftime("%H:%M");
            let problem = match self.zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { .. } => continue,
                AmbiguousOffset::Gap { .. } => {
                    let moved = instant(&self.zone, day, time)?;
                    let moved = jiff::Timestamp::from_millisecond(moved)
                        .map_err(|_| CalendarError::OutOfRange)?
                        .to_zoned_datetime(self.zone.clone())
                        .datetime();
                    let moved = moved.strftime("%Y-%m-%d %H:%M");
                    format!("{word} at {time_text} on {day}, which the clock skips: it is {moved}")
                }
                AmbiguousOffset::Fold { .. } => {
                    format!("{word} at {time_text} on {day}, which comes twice: the first counts")
                }
            };
            let fix = "give that date hours of its own where this is not meant";
            found.push(Finding::new(at, problem, fix));
        }
        if on_date(&self.zone, date, vec![(start, end)])?.is_empty() {
            found.push(Finding::new(
                at,
                format!("does not happen on {date}: the clock skips it"),
                "give that date hours of its own",
            ));
        }
        Ok(found)
    }

    /// Holidays and exceptions.
    fn dates(&self) -> Found {
        let plan = &self.hours.plan;
        let mut found = Vec::new();
        let past: Vec<_> = plan.holidays.range(..self.today).collect();
        if let Some(last) = past.last() {
            let count = past.len();
            let problem = match count {
                1 => format!("{last} has passed"),
                _ => format!("{count} have passed, the last on {last}"),
            };
            found.push(Finding::new("holidays", problem, "put the coming ones in"));
        }
        for (date, hours) in &plan.exceptions {
            let at = format!("exceptions[{date}]");
            if *date < self.today {
                found.push(Finding::new(at, "has passed", "take it out"));
                continue;
            }
            if plan.holidays.contains(date) {
                found.push(Finding::new(
                    &at,
                    "is a holiday too, which counts for nothing beside it",
                    "take it out of the holidays",
                ));
            }
            let mut own = hours.clone();
            let mut week: Vec<_> = plan.weekly(*date).collect();
            own.sort();
            week.sort();
            if own == week && !plan.holidays.contains(date) {
                let day = date.strftime("%A");
                found.push(Finding::new(
                    &at,
                    format!("says what every {day} says"),
                    "take it out",
                ));
            }
            if *date < self.end {
                for hours in hours {
                    found.extend(self.edges(&at, *date, *hours)?);
                }
            }
        }
        Ok(found)
    }

    /// Exceptions that reach into the hours of the day after, or are reached into.
    fn neighbours(&self) -> Found {
        let plan = &self.hours.plan;
        let mut found = Vec::new();
        for date in plan.exceptions.range(self.today..).map(|(date, _)| *date) {
            for (first, second) in [(later(date, -1)?, date), (date, later(date, 1)?)] {
                // Of two exceptions in a row the later one tells.
                if first == date && plan.exceptions.contains_key(&second) {
                    continue;
                }
                let longest = plan
                    .day(first)
                    .into_iter()
                    .map(|(s, e)| minutes(s, e).1)
                    .max();
                let earliest = plan
                    .day(second)
                    .into_iter()
                    .map(|(s, _)| minutes(s, s).0)
                    .min();
                let (Some(end), Some(start)) = (longest, earliest) else {
                    continue;
                };
                if start + MINUTES_A_DAY < end {
                    found.push(Finding::new(
                        format!("exceptions[{date}]"),
                        format!("the night of {first} overlaps the hours of {second}"),
                        "end the one where the other begins",
                    ));
                }
            }
        }
        Ok(found)
    }

    fn closures(&self) -> Found {
        let mut found = Vec::new();
        if self.hours.closures.is_empty() {
            return Ok(found);
        }
        let mut shifts = Vec::new();
        for date in self.days()? {
            shifts.extend(self.hours.plan.begun_on(&self.zone, date)?);
        }
        let shifts = merge(shifts);
        if !shifts.is_empty() && without(&shifts, &self.closed).is_empty() {
            found.push(Finding::new(
                "closures",
                format!("shut every shift before {}", self.end),
                "shorten them, or take the schedule out",
            ));
        }
        for (i, closure) in self.hours.closures.iter().enumerate() {
            let at = format!("closures[{i}]");
            if closure.to.date() < self.today {
                found.push(Finding::new(at, "has passed", "take it out"));
            } else if closure.to.date() < self.end {
                let only = Hours {
                    closures: vec![closure.clone()],
                    ..Hours::default()
                };
                if without(&shifts, &only.closed(&self.zone)?) == shifts {
                    found.push(Finding::new(
                        at,
                        "shuts nothing: there is no shift in it",
                        "take it out or correct its dates",
                    ));
                }
            }
        }
        Ok(found)
    }
}
