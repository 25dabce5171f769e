//! OpenStreetMap's `opening_hours`, such as `Mo-Fr 09:00-13:00,14:00-18:00; PH off`.
//!
//! Only the grammar comes from a library. What the rules mean is worked out here for whole local days, and
//! instants by the plan, since readers of this format disagree about the hour that the clock repeats.
//!
//! What fits a plan: weekdays, times up to a day long, split shifts, nights, `off` for days and for times,
//! `24/7`, `PH`, months, dates and ranges of dates with or without a year, rules after `;` (which replace) and
//! after a comma (which add). Dates and holidays become exceptions within [`Known`]'s window.
//!
//! A night runs to its end even where the next day is `off` or has rules of its own, as with every plan;
//! some readers end it at midnight. [`lint`] tells where that matters.

mod lint;
mod rules;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};

use crate::outlook::later;
use crate::{CalendarError, HORIZON_DAYS_MAX, MINUTES_A_DAY, Plan, WeeklyShift, bounds};
use rules::{DAYS, Minutes, Rule};

pub use lint::lint;
pub use write::export;

/// Longest text, in bytes: room for an [`export`] with many dates, where OpenStreetMap allows 255 characters.
pub const TEXT_BYTES_MAX: usize = 32_768;

/// What the text leaves to be known from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Public holidays. Without `PH` in the text they are closed.
    pub holidays: BTreeSet<Date>,
    /// First date for which dates and holidays become exceptions.
    pub from: Date,
    /// How many days of them, 1 to [`HORIZON_DAYS_MAX`].
    pub days: u32,
}

/// Why a text is no plan. Every message names the part and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OsmError {
    /// It does not follow the grammar.
    #[error("{at}: {problem}; {fix}")]
    Syntax {
        /// The rule.
        at: String,
        /// What is wrong.
        problem: String,
        /// What to write.
        fix: String,
    },
    /// It means something, but nothing a plan can hold.
    #[error("{at}: {part}; {fix}")]
    NotRepresentable {
        /// The rule.
        at: String,
        /// The part and what is the matter with it.
        part: String,
        /// What to write.
        fix: &'static str,
    },
    /// `PH` without a list of holidays.
    #[error("{at}: no public holidays are known; give an iCalendar file of them, or take PH out")]
    HolidaysUnknown {
        /// The rule.
        at: String,
    },
    /// The rules make no valid plan.
    #[error(transparent)]
    Plan(#[from] CalendarError),
}

/// Reads a text into a plan in `zone`.
///
/// # Errors
/// The first thing that is wrong or cannot be represented.
pub fn import(text: &str, zone: &str, known: &Known) -> Result<Plan, OsmError> {
    bounds("days", known.days.into(), 1, HORIZON_DAYS_MAX.into())?;
    let mut rules = Vec::new();
    for rule in rules::read(text)? {
        rules.push(rule?);
    }
    let public = rules.iter().find(|r| r.days.holidays);
    if let Some(rule) = public.filter(|_| known.holidays.is_empty()) {
        let at = rule.at.clone();
        return Err(OsmError::HolidaysUnknown { at });
    }
    let reading = Reading {
        rules: &rules,
        known,
    };
    let mut plan = Plan {
        zone: zone.to_owned(),
        ..Plan::default()
    };
    for (number, (_, day)) in DAYS.into_iter().enumerate() {
        reading.refuse_cut_nights(Cell::Weekday(number))?;
        for (start, end) in reading.hours(Cell::Weekday(number))? {
            let (start, end) = times(start, end);
            plan.week.push(WeeklyShift { day, start, end });
        }
    }
    for date in reading.special_dates()? {
        reading.refuse_cut_nights(Cell::Date(date))?;
        let hours = reading.hours(Cell::Date(date))?;
        let hours: Vec<_> = hours.into_iter().map(|(s, e)| times(s, e)).collect();
        if hours.is_empty() {
            plan.holidays.insert(date);
        } else if hours != plan.weekly(date).collect::<Vec<_>>() {
            plan.exceptions.insert(date, hours);
        }
    }
    if public.is_none() {
        let closed = known.holidays.iter();
        let closed = closed.filter(|d| !plan.exceptions.contains_key(d)).copied();
        plan.holidays.extend(closed.collect::<Vec<_>>());
    }
    plan.validate()?;
    Ok(plan)
}

/// A day whose hours are asked for: of the week, or a date and its rules besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// From Monday, 0 to 6.
    Weekday(usize),
    Date(Date),
}

impl Cell {
    fn before(self) -> Result<Self, CalendarError> {
        Ok(match self {
            Cell::Weekday(day) => Cell::Weekday((day + 6) % 7),
            Cell::Date(date) => Cell::Date(later(date, -1)?),
        })
    }
}

/// Rules and what they need to be understood.
struct Reading<'a> {
    rules: &'a [Rule],
    known: &'a Known,
}

impl Reading<'_> {
    fn applies(&self, rule: &Rule, cell: Cell) -> bool {
        match cell {
            Cell::Weekday(day) => rule.days.every_week(day),
            Cell::Date(date) => rule.days.on(date, self.known.holidays.contains(&date)),
        }
    }

    /// The dates of the window on which more than the rules of the week applies.
    fn special_dates(&self) -> Result<Vec<Date>, CalendarError> {
        let mut dates = Vec::new();
        for n in 0..i64::from(self.known.days) {
            let date = later(self.known.from, n)?;
            let holiday = self.known.holidays.contains(&date);
            let special = |r: &Rule| r.days.by_date(holiday) && r.days.on(date, holiday);
            if self.rules.iter().any(special) {
                dates.push(date);
            }
        }
        Ok(dates)
    }

    /// Hours of a day in order, as minutes from its midnight.
    fn hours(&self, cell: Cell) -> Result<Vec<Minutes>, OsmError> {
        let mut hours: Vec<Minutes> = Vec::new();
        for rule in self.rules.iter().filter(|r| self.applies(r, cell)) {
            if rule.replaces() {
                hours.clear();
            }
            match rule.open {
                true => hours.extend(&rule.times),
                false => rule.times.iter().for_each(|t| hours = cut(&hours, *t)),
            }
            hours = join(hours);
            let odd = |h: &&Minutes| h.0 >= MINUTES_A_DAY || h.1 - h.0 > MINUTES_A_DAY;
            if hours.iter().find(odd).is_some() {
                return Err(OsmError::NotRepresentable {
                    at: rule.at.clone(),
                    part: "leaves hours that begin after midnight, or last longer than a day"
                        .into(),
                    fix: "write each day's hours in one rule, from 00:00 on and to 24:00 where they go on",
                });
            }
        }
        Ok(hours)
    }

    /// Readers disagree on whether hours taken from a day are taken from the night before as well.
    fn refuse_cut_nights(&self, cell: Cell) -> Result<(), OsmError> {
        let before = self.hours(cell.before()?)?;
        for rule in self.rules.iter().filter(|r| !r.open && !r.replaces()) {
            let touches = |n: &Minutes| {
                let times = rule.times.iter();
                times
                    .clone()
                    .any(|t| t.0 + MINUTES_A_DAY < n.1 && n.0 < t.1 + MINUTES_A_DAY)
            };
            if self.applies(rule, cell) && before.iter().any(touches) {
                return Err(OsmError::NotRepresentable {
                    at: rule.at.clone(),
                    part: "takes hours from a night that began the day before".into(),
                    fix: "end that night earlier instead",
                });
            }
        }
        Ok(())
    }
}

/// Orders hours and joins those that overlap; those that only meet stay apart, as they were written.
fn join(mut hours: Vec<Minutes>) -> Vec<Minutes> {
    hours.sort_unstable();
    let mut joined: Vec<Minutes> = Vec::with_capacity(hours.len());
    for (start, end) in hours {
        match joined.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Hours without a stretch.
fn cut(hours: &[Minutes], (from, to): Minutes) -> Vec<Minutes> {
    let parts = hours
        .iter()
        .flat_map(|(start, end)| [(*start, (*end).min(from)), ((*start).max(to), *end)]);
    parts.filter(|(start, end)| start < end).collect()
}

fn times(start: i64, end: i64) -> (Time, Time) {
    // Below 24 and 60 by the remainders.
    let time = |m: i64| Time::constant((m / 60 % 24) as i8, (m % 60) as i8, 0, 0);
    (time(start), time(end))
}
