//! Schedules of the world file as the calendar's, and back.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday};
use meridian_calendar::{CalendarError, Closure, Hours, Plan, WeeklyShift};
use meridian_proto::livechat::v1 as api;

use crate::failure::Failure;

/// Days as the API names them, from Monday.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Hours of a schedule, and for each shift and break the entry it comes from and the day's name.
pub struct Read {
    /// As the calendar has them.
    pub hours: Hours,
    /// Of `week`.
    pub shifts: Vec<(usize, &'static str)>,
    /// Of `breaks`.
    pub breaks: Vec<(usize, &'static str)>,
}

/// Reads a schedule that is written well.
///
/// # Errors
/// When it is not.
pub fn read(schedule: &api::Schedule) -> Result<Read, Failure> {
    let (week, shifts) = weekly(&schedule.week)?;
    let (pauses, breaks) = weekly(&schedule.breaks)?;
    let mut plan = Plan {
        zone: schedule.zone.clone(),
        week,
        ..Plan::default()
    };
    for text in &schedule.holidays {
        plan.holidays.insert(date(text)?);
    }
    for exception in &schedule.exceptions {
        let hours = exception.hours.iter();
        let hours: Result<Vec<_>, Failure> =
            hours.map(|h| Ok((time(&h.from)?, time(&h.to)?))).collect();
        plan.exceptions.insert(date(&exception.date)?, hours?);
    }
    let mut closures = Vec::new();
    for closure in &schedule.closures {
        closures.push(Closure {
            from: local(&closure.from)?,
            to: local(&closure.to)?,
            reason: closure.reason.clone(),
        });
    }
    let hours = Hours {
        plan,
        breaks: pauses,
        closures,
    };
    Ok(Read {
        hours,
        shifts,
        breaks,
    })
}

/// Whether a schedule that is written well makes sense.
///
/// # Errors
/// Where it does not, by the entry of the file.
pub(super) fn check(schedule: &api::Schedule) -> Result<(), CalendarError> {
    let Ok(read) = read(schedule) else {
        return Ok(());
    };
    let entries = |of: &[(usize, &str)]| of.iter().map(|(entry, _)| *entry).collect::<Vec<_>>();
    let (week, breaks) = (entries(&read.shifts), entries(&read.breaks));
    let checked = read.hours.validate().map(drop);
    checked.map_err(|e| e.of_entries(&week, &breaks))
}

/// Days counted out: what begins on each, and the entry it comes from.
type Weekly = (Vec<WeeklyShift>, Vec<(usize, &'static str)>);

fn weekly(list: &[api::WeeklyShift]) -> Result<Weekly, Failure> {
    let (mut week, mut entries) = (Vec::new(), Vec::new());
    for (entry, shift) in list.iter().enumerate() {
        let (start, end) = (time(&shift.from)?, time(&shift.to)?);
        for (name, day) in DAYS {
            if shift.days.iter().any(|d| d == name) {
                week.push(WeeklyShift { day, start, end });
                entries.push((entry, name));
            }
        }
    }
    Ok((week, entries))
}

fn local(text: &str) -> Result<DateTime, Failure> {
    text.parse()
        .map_err(|e| Failure::Failed(format!("local time '{text}': {e}")))
}

fn time(text: &str) -> Result<Time, Failure> {
    let text = if text == "24:00" { "00:00" } else { text };
    Time::strptime("%H:%M", text).map_err(|e| Failure::Failed(format!("time '{text}': {e}")))
}

fn date(text: &str) -> Result<Date, Failure> {
    text.parse()
        .map_err(|e| Failure::Failed(format!("date '{text}': {e}")))
}

/// Hours as a schedule; days with the same hours stand together, and a closure within a minute takes all of it.
pub fn write(id: &str, hours: &Hours) -> api::Schedule {
    let plan = &hours.plan;
    let exception = |(date, spans): (&Date, &Vec<(Time, Time)>)| api::ScheduleException {
        date: date.to_string(),
        hours: spans
            .iter()
            .map(|(start, end)| {
                let (from, to) = clock(*start, *end);
                api::Hours { from, to }
            })
            .collect(),
    };
    let closure = |c: &Closure| {
        let minute = |t: DateTime| t.strftime("%Y-%m-%dT%H:%M").to_string();
        let begun = c.to.second() > 0 || c.to.subsec_nanosecond() > 0;
        api::ScheduleClosure {
            from: minute(c.from),
            to: minute(if begun {
                c.to.saturating_add(1.minute())
            } else {
                c.to
            }),
            reason: c.reason.clone(),
        }
    };
    api::Schedule {
        id: id.to_owned(),
        zone: plan.zone.clone(),
        week: entries(&plan.week),
        holidays: plan.holidays.iter().map(Date::to_string).collect(),
        exceptions: plan.exceptions.iter().map(exception).collect(),
        breaks: entries(&hours.breaks),
        closures: hours.closures.iter().map(closure).collect(),
        ..Default::default()
    }
}

fn entries(week: &[WeeklyShift]) -> Vec<api::WeeklyShift> {
    let mut entries: Vec<api::WeeklyShift> = Vec::new();
    for shift in week {
        let (from, to) = clock(shift.start, shift.end);
        let day = DAYS.iter().find(|(_, day)| *day == shift.day);
        let day = day.map(|(name, _)| (*name).to_owned());
        match entries.iter_mut().find(|w| w.from == from && w.to == to) {
            Some(entry) => entry.days.extend(day),
            None => entries.push(api::WeeklyShift {
                days: day.into_iter().collect(),
                from,
                to,
            }),
        }
    }
    entries
}

fn clock(start: Time, end: Time) -> (String, String) {
    let clock = |t: Time| t.strftime("%H:%M").to_string();
    let to = match clock(end) {
        midnight if midnight == "00:00" => "24:00".to_owned(),
        other => other,
    };
    (clock(start), to)
}
