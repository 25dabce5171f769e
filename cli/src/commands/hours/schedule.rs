//! Schedules of the world file as the calendar's, and back.

use jiff::civil::{Date, Time, Weekday};
use meridian_calendar::{Hours, Plan, WeeklyShift};
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

/// Hours of a schedule, and for each shift the entry of `week` it comes from and the day's name.
pub(in crate::commands) struct Read {
    pub(in crate::commands) hours: Hours,
    pub(super) shifts: Vec<(usize, &'static str)>,
}

/// Reads a schedule that the world file's reader has found good.
pub(in crate::commands) fn read(schedule: &api::Schedule) -> Result<Read, Failure> {
    let mut plan = Plan {
        zone: schedule.zone.clone(),
        ..Plan::default()
    };
    let mut shifts = Vec::new();
    for (entry, shift) in schedule.week.iter().enumerate() {
        let (start, end) = (time(&shift.from)?, time(&shift.to)?);
        for (name, day) in DAYS {
            if shift.days.iter().any(|d| d == name) {
                plan.week.push(WeeklyShift { day, start, end });
                shifts.push((entry, name));
            }
        }
    }
    for text in &schedule.holidays {
        plan.holidays.insert(date(text)?);
    }
    for exception in &schedule.exceptions {
        let hours = exception.hours.iter();
        let hours: Result<Vec<_>, Failure> =
            hours.map(|h| Ok((time(&h.from)?, time(&h.to)?))).collect();
        plan.exceptions.insert(date(&exception.date)?, hours?);
    }
    Ok(Read {
        hours: Hours::from(plan),
        shifts,
    })
}

fn time(text: &str) -> Result<Time, Failure> {
    let text = if text == "24:00" { "00:00" } else { text };
    Time::strptime("%H:%M", text).map_err(|e| Failure::Failed(format!("time '{text}': {e}")))
}

fn date(text: &str) -> Result<Date, Failure> {
    text.parse()
        .map_err(|e| Failure::Failed(format!("date '{text}': {e}")))
}

/// The plan as a schedule; days with the same hours stand together.
pub(super) fn write(id: &str, plan: &Plan) -> api::Schedule {
    let mut week: Vec<api::WeeklyShift> = Vec::new();
    for shift in &plan.week {
        let (from, to) = hours(shift.start, shift.end);
        let day = DAYS.iter().find(|(_, day)| *day == shift.day);
        let day = day.map(|(name, _)| (*name).to_owned());
        match week.iter_mut().find(|w| w.from == from && w.to == to) {
            Some(entry) => entry.days.extend(day),
            None => week.push(api::WeeklyShift {
                days: day.into_iter().collect(),
                from,
                to,
            }),
        }
    }
    let exception = |(date, spans): (&Date, &Vec<(Time, Time)>)| api::ScheduleException {
        date: date.to_string(),
        hours: spans
            .iter()
            .map(|(start, end)| {
                let (from, to) = hours(*start, *end);
                api::Hours { from, to }
            })
            .collect(),
    };
    api::Schedule {
        id: id.to_owned(),
        zone: plan.zone.clone(),
        week,
        holidays: plan.holidays.iter().map(Date::to_string).collect(),
        exceptions: plan.exceptions.iter().map(exception).collect(),
        ..Default::default()
    }
}

fn hours(start: Time, end: Time) -> (String, String) {
    let clock = |t: Time| t.strftime("%H:%M").to_string();
    let to = match clock(end) {
        midnight if midnight == "00:00" => "24:00".to_owned(),
        other => other,
    };
    (clock(start), to)
}
