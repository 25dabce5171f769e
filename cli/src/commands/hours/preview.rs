//! `meridian hours preview`.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use meridian_calendar::outlook::{self, ClockChange, Day, Note};
use meridian_calendar::{Hours, zone_data};
use serde::Serialize;

use super::{Holidays, Named, add, first_day, from_osm, read, week};
use crate::failure::Failure;
use crate::output::{Field, Output, render_table};
use crate::time::format_millis;
use crate::world::{File, calendar};

/// Show the coming days of a schedule.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["file", "osm"]))]
pub struct PreviewCommand {
    /// A world file; - reads standard input
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// The schedule of the file; needless where there is one
    #[arg(long, value_name = "ID", conflicts_with = "osm")]
    schedule: Option<String>,
    /// Or hours in OpenStreetMap's form, such as "Mo-Fr 09:00-17:00"
    #[arg(long, value_name = "TEXT", requires = "zone")]
    osm: Option<String>,
    /// Their IANA zone
    #[arg(long, value_name = "ZONE", conflicts_with = "file")]
    zone: Option<String>,
    #[command(flatten)]
    holidays: Holidays,
    /// First date; today in the schedule's zone without it
    #[arg(long, value_name = "DATE", value_parser = super::date)]
    from: Option<Date>,
    /// How many days, 1 to 400
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = super::days)]
    days: u32,
}

#[derive(Debug, Serialize)]
struct Preview {
    schedule: String,
    zone: String,
    zone_data: &'static str,
    week: String,
    days: Vec<Row>,
    weeks: Vec<Week>,
}

#[derive(Debug, Serialize)]
struct Row {
    date: Date,
    weekday: String,
    spans: Vec<Span>,
    breaks: Vec<Span>,
    length_ms: i64,
    notes: Vec<String>,
}

/// A span with its offsets from UTC and in UTC.
#[derive(Debug, Serialize)]
struct Span {
    #[serde(serialize_with = "rfc3339")]
    from: ZonedDateTime,
    #[serde(serialize_with = "rfc3339")]
    to: ZonedDateTime,
    from_utc: Timestamp,
    to_utc: Timestamp,
}

/// Seven days, or fewer at the end.
#[derive(Debug, Serialize)]
struct Week {
    from: Date,
    days: usize,
    length_ms: i64,
}

/// Runs it.
///
/// # Errors
/// When what is given cannot be read.
pub(super) fn run(output: &Output, command: &PreviewCommand) -> Result<(), Failure> {
    let (name, named, from) = match (&command.file, &command.osm, &command.zone) {
        (_, Some(osm), Some(zone)) => {
            let (_, from) = first_day(zone, command.from)?;
            let imported = command.holidays.read(from, command.days, zone)?;
            let named = from_osm(osm, zone, imported, (from, command.days))?;
            ("--osm".to_owned(), named, from)
        }
        (path, ..) => scheduled(path.as_deref().unwrap_or("-"), command)?,
    };
    let (zone, _) = first_day(&named.hours.plan.zone, Some(from))?;
    let days = outlook::outlook(&named.hours, from, command.days)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let preview = Preview {
        schedule: name,
        zone: named.hours.plan.zone.clone(),
        zone_data: zone_data(),
        week: week(&named.hours.plan),
        days: rows(&named, &zone, &days)?,
        weeks: weeks(&days),
    };
    output.document(&preview, || table(&preview, output))
}

/// A schedule of the file.
fn scheduled(path: &str, command: &PreviewCommand) -> Result<(String, Named, Date), Failure> {
    let (name, text) = read(path)?;
    let file = File::read(&name, &text)?;
    let schedules = &file.configuration.schedules;
    let found = match (&command.schedule, schedules.as_slice()) {
        (Some(id), all) => all.iter().find(|s| s.id == *id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(schedule) = found else {
        let ids: Vec<_> = schedules.iter().map(|s| s.id.as_str()).collect();
        let ids = match ids.is_empty() {
            true => "has no schedules".to_owned(),
            false => format!("has {}", ids.join(", ")),
        };
        return Err(Failure::Usage(format!(
            "--schedule: {name} {ids}; name one of them"
        )));
    };
    if !schedule.spans.is_empty() {
        let id = &schedule.id;
        let fix = "they are in UTC as the file has them";
        return Err(Failure::Usage(format!(
            "--schedule: '{id}' is made of spans; {fix}"
        )));
    }
    let mut hours = calendar::read(schedule)?.hours;
    let (_, from) = first_day(&schedule.zone, command.from)?;
    let imported = command.holidays.read(from, command.days, &schedule.zone)?;
    add(&mut hours, &imported);
    let names: BTreeMap<_, _> = imported.dates.into_iter().collect();
    Ok((schedule.id.clone(), Named { hours, names }, from))
}

fn rows(named: &Named, zone: &TimeZone, days: &[Day]) -> Result<Vec<Row>, Failure> {
    let span = |s: &meridian_calendar::Span| -> Result<Span, Failure> {
        let at = |ms| {
            Timestamp::from_millisecond(ms).map_err(|e| Failure::Failed(format!("a time: {e}")))
        };
        let (from_utc, to_utc) = (at(s.start)?, at(s.end)?);
        Ok(Span {
            from: from_utc.to_zoned_datetime(zone.clone()),
            to: to_utc.to_zoned_datetime(zone.clone()),
            from_utc,
            to_utc,
        })
    };
    let row = |day: &Day| -> Result<Row, Failure> {
        let notes = day.notes.iter();
        Ok(Row {
            date: day.date,
            weekday: day.date.strftime("%a").to_string(),
            spans: day.open.iter().map(span).collect::<Result<_, _>>()?,
            breaks: day.breaks.iter().map(span).collect::<Result<_, _>>()?,
            length_ms: outlook::total(std::slice::from_ref(day)),
            notes: notes.map(|n| note(named, day.date, n)).collect(),
        })
    };
    days.iter().map(row).collect()
}

fn weeks(days: &[Day]) -> Vec<Week> {
    let week = |days: &[Day]| Week {
        from: days[0].date,
        days: days.len(),
        length_ms: outlook::total(days),
    };
    days.chunks(7).map(week).collect()
}

fn note(named: &Named, date: Date, note: &Note) -> String {
    match note {
        Note::Holiday => match named.names.get(&date) {
            Some(name) if !name.is_empty() => format!("holiday: {name}"),
            _ => "holiday".to_owned(),
        },
        Note::Exception => match named.hours.plan.exceptions.get(&date) {
            Some(hours) if hours.is_empty() => "closed on this date".to_owned(),
            _ => "hours of its own".to_owned(),
        },
        Note::Closure(number) => closure(&named.hours, *number, date),
        Note::Clock(change) => clock(change),
        Note::Skipped => "the zone skipped this date".to_owned(),
    }
}

fn closure(hours: &Hours, number: usize, date: Date) -> String {
    let Some(closure) = hours.closures.get(number) else {
        return "closed".to_owned();
    };
    let clock = |at: jiff::civil::DateTime| at.strftime("%H:%M").to_string();
    let mut text = "closed".to_owned();
    if closure.from.date() == date {
        text += &format!(" from {}", clock(closure.from));
    }
    if closure.to.date() == date {
        text += &format!(" until {}", clock(closure.to));
    }
    if !closure.reason.is_empty() {
        text += &format!(": {}", closure.reason);
    }
    text
}

fn clock(change: &ClockChange) -> String {
    let (from, to) = (change.from, change.to);
    let word = if from < to { "forward" } else { "back" };
    let shown = match from.date() == to.date() {
        true => "%H:%M",
        false => "%Y-%m-%d %H:%M",
    };
    format!(
        "clock {word} from {} to {}",
        from.strftime(shown),
        to.strftime(shown)
    )
}

fn table(preview: &Preview, output: &Output) -> String {
    let rows = preview.days.iter().map(|row| {
        let local = |s: &Span| [s.from.datetime(), s.to.datetime()];
        let utc = |s: &Span| [s.from_utc, s.to_utc].map(|at| TimeZone::UTC.to_datetime(at));
        let mut notes = row.notes.clone();
        if !row.breaks.is_empty() {
            let breaks = row.breaks.iter().map(|s| written(row.date, local(s)));
            notes.push(format!("break {}", breaks.collect::<Vec<_>>().join(", ")));
        }
        let list = |of: &dyn Fn(&Span) -> [jiff::civil::DateTime; 2]| {
            let spans = row.spans.iter().map(|s| written(row.date, of(s)));
            match row.spans.is_empty() {
                true => "-".to_owned(),
                false => spans.collect::<Vec<_>>().join(", "),
            }
        };
        vec![
            Field::from(row.date),
            Field::from(&row.weekday),
            Field::from(list(&local)),
            Field::from(list(&utc)),
            Field::from(match row.length_ms {
                0 => "-".to_owned(),
                length => millis(length),
            }),
            Field::from(notes.join("; ")),
        ]
    });
    let header = ["date", "day", "local", "utc", "length", "notes"];
    let table = render_table(&header, rows.collect(), output.paint);
    let mut text = format!(
        "{}: {} (zone data {}), {}\n{table}\n",
        preview.schedule, preview.zone, preview.zone_data, preview.week
    );
    for week in &preview.weeks {
        let (days, from, length) = (week.days, week.from, millis(week.length_ms));
        let days = if days == 1 {
            "1 day".to_owned()
        } else {
            format!("{days} days")
        };
        text += &format!("total of the {days} from {from}: {length}\n");
    }
    text
}

/// `09:00-17:00`; a time of another day than the row's has that day before it.
fn written(date: Date, span: [jiff::civil::DateTime; 2]) -> String {
    let [from, to] = span;
    let clock = |at: jiff::civil::DateTime| match at.date() == date {
        true => at.strftime("%H:%M").to_string(),
        false => at.strftime("%a %H:%M").to_string(),
    };
    let midnight = to.date().yesterday().is_ok_and(|d| d == date) && to == to.date().at(0, 0, 0, 0);
    let end = if midnight {
        "24:00".to_owned()
    } else {
        clock(to)
    };
    format!("{}-{end}", clock(from))
}

fn millis(millis: i64) -> String {
    format_millis(millis.unsigned_abs())
}

fn rfc3339<S: serde::Serializer>(at: &ZonedDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.strftime("%Y-%m-%dT%H:%M:%S%:z"))
}
