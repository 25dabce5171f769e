//! A plan as a text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::{Date, Time};

use super::rules::DAYS;
use crate::{Plan, minutes};

/// The first year that the format can write.
const YEAR_MIN: i16 = 1900;

/// The plan as `opening_hours`: the week, then dates that are closed or have hours of their own, in order.
/// [`super::import`] reads it back as the same hours. Times are written in whole minutes; dates before
/// 1900, for which the format has no words, are left out.
pub fn export(plan: &Plan) -> String {
    let mut rules = week(plan);
    for (first, last, hours) in stretches(plan) {
        rules.push(format!("{} {hours}", dates(first, last)));
    }
    if rules.is_empty() {
        rules.push("off".to_owned());
    }
    rules.join("; ")
}

fn week(plan: &Plan) -> Vec<String> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (number, (_, weekday)) in DAYS.iter().enumerate() {
        let shifts = plan.week.iter().filter(|s| s.day == *weekday);
        let mut hours: Vec<_> = shifts.map(|s| (s.start, s.end)).collect();
        hours.sort();
        if hours.is_empty() {
            continue;
        }
        let hours = times(&hours);
        match groups.iter_mut().find(|(same, _)| *same == hours) {
            Some((_, days)) => days.push(number),
            None => groups.push((hours, vec![number])),
        }
    }
    let rule = |(hours, days): (String, Vec<usize>)| match (days.len(), hours.as_str()) {
        (7, "00:00-24:00") => "24/7".to_owned(),
        _ => format!("{} {hours}", weekdays(&days)),
    };
    groups.into_iter().map(rule).collect()
}

/// `Mo-Fr,Su` of numbers in order.
fn weekdays(days: &[usize]) -> String {
    let runs = days.chunk_by(|a, b| a + 1 == *b).map(|run| {
        let (first, last) = (DAYS[run[0]].0, DAYS[run[run.len() - 1]].0);
        match run.len() {
            1 => first.to_owned(),
            2 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        }
    });
    runs.collect::<Vec<_>>().join(",")
}

/// `09:00-13:00,14:00-18:00`.
fn times(hours: &[(Time, Time)]) -> String {
    let mut text = String::new();
    for (start, end) in hours {
        let comma = if text.is_empty() { "" } else { "," };
        let end = match minutes(*end, *end).0 {
            0 => "24:00".to_owned(),
            _ => end.strftime("%H:%M").to_string(),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}-{end}", start.strftime("%H:%M"));
    }
    text
}

/// Holidays and exceptions, which outrank them; dates in a row with the same hours together.
fn stretches(plan: &Plan) -> Vec<(Date, Date, String)> {
    let mut special: BTreeMap<Date, String> = BTreeMap::new();
    for date in &plan.holidays {
        special.insert(*date, "off".to_owned());
    }
    for (date, hours) in &plan.exceptions {
        let hours = match hours.is_empty() {
            true => "off".to_owned(),
            false => times(hours),
        };
        special.insert(*date, hours);
    }
    special.retain(|date, _| date.year() >= YEAR_MIN);
    let mut stretches: Vec<(Date, Date, String)> = Vec::new();
    for (date, hours) in special {
        match stretches.last_mut() {
            Some((_, last, same))
                if *same == hours && last.tomorrow().is_ok_and(|next| next == date) =>
            {
                *last = date;
            }
            _ => stretches.push((date, date, hours)),
        }
    }
    stretches
}

/// `2026 Dec 24-26`, or with both dates in full where the month changes.
fn dates(first: Date, last: Date) -> String {
    let full = |d: Date| format!("{} {}", d.strftime("%Y %b"), d.strftime("%d"));
    if first == last {
        full(first)
    } else if first.first_of_month() == last.first_of_month() {
        format!("{}-{}", full(first), last.strftime("%d"))
    } else {
        format!("{}-{}", full(first), full(last))
    }
}
