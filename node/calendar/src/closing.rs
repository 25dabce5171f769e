//! Closures written as exceptions, for formats that know only those.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time};
use meridian_routing::model::Span;

use crate::hours::without;
use crate::{CalendarError, Closure, HORIZON_DAYS_MAX, MINUTES_A_DAY, Plan, bounds, minutes};

impl Plan {
    /// The plan with a closure as exceptions of the dates it touches: each keeps what the closure leaves. A
    /// closure within a minute takes the whole minute. What a closure leaves of the end of a night becomes
    /// an exception of the morning.
    ///
    /// Hours are the same as with the closure, but where its own edge is in an hour that the clock repeats.
    ///
    /// # Errors
    /// [`CalendarError::OutOfBounds`] where the closure is longer than [`HORIZON_DAYS_MAX`] days, and
    /// whatever [`Plan::validate`] says of the outcome.
    pub fn without_closure(mut self, closure: &Closure) -> Result<Self, CalendarError> {
        let out_of_range = |_| CalendarError::OutOfRange;
        let (from, to) = (closure.from, closure.to);
        let days = (to.date() - from.date()).get_days();
        bounds(
            "closure",
            u64::try_from(days).unwrap_or_default(),
            0,
            u64::from(HORIZON_DAYS_MAX),
        )?;
        // The night before may reach into the closure.
        let first = from.date().checked_sub(1.day()).map_err(out_of_range)?;
        let days = i64::from(days) + 2;
        let hole = Span {
            start: since(first, from),
            end: since(first, to) + i64::from(to.second() > 0 || to.subsec_nanosecond() > 0),
        };
        let mut dates: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
        for day in 0..days {
            let date = first.checked_add(day.days()).map_err(out_of_range)?;
            let hours = self.day(date).into_iter().map(|(start, end)| {
                let (start, end) = minutes(start, end);
                let midnight = day * MINUTES_A_DAY;
                Span {
                    start: midnight + start,
                    end: midnight + end,
                }
            });
            let hours: Vec<_> = hours.collect();
            for left in without(&hours, &[hole]) {
                let day = left.start.div_euclid(MINUTES_A_DAY);
                dates.entry(day).or_default().push(left);
            }
            dates.entry(day).or_default();
        }
        for (day, mut spans) in dates {
            let date = first.checked_add(day.days()).map_err(out_of_range)?;
            spans.sort();
            let hours: Vec<_> = spans
                .iter()
                .map(|s| (clock(s.start), clock(s.end)))
                .collect();
            let mut before = self.day(date);
            before.sort();
            if hours != before {
                self.exceptions.insert(date, hours);
            }
        }
        self.validate()?;
        Ok(self)
    }
}

/// Whole minutes from a date's midnight.
fn since(date: Date, at: DateTime) -> i64 {
    let days = i64::from((at.date() - date).get_days());
    days * MINUTES_A_DAY + minutes(at.time(), at.time()).0
}

/// The time of day of so many minutes.
fn clock(minutes: i64) -> Time {
    let minute = minutes.rem_euclid(MINUTES_A_DAY);
    // Below 24 and 60.
    Time::constant((minute / 60) as i8, (minute % 60) as i8, 0, 0)
}
