//! `meridian hours`: checks, shows and imports working hours here, without a cluster.

mod import;
mod lint;
mod preview;

use std::collections::BTreeMap;
use std::io::Read as _;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meridian_calendar::ical::{self, Imported};
use meridian_calendar::osm::{self, Known, OsmError};
use meridian_calendar::{HORIZON_DAYS_MAX, Hours, Plan};

use crate::failure::{Failure, Violation};
use crate::output::Output;

/// Check, preview and import working hours; needs no cluster.
#[derive(Debug, Subcommand)]
pub enum HoursCommand {
    /// Tell what a schedule says but hardly means; ends with 1 if it finds anything
    Lint(lint::LintCommand),
    /// Show the coming days of a schedule, in local time and in UTC
    Preview(preview::PreviewCommand),
    /// Turn OpenStreetMap's opening_hours into a schedule for the world file
    Import(import::ImportCommand),
}

/// Runs it.
///
/// # Errors
/// When what is given cannot be read, or the lint finds something.
pub fn run(output: &Output, command: HoursCommand) -> Result<(), Failure> {
    match command {
        HoursCommand::Lint(command) => lint::run(output, &command),
        HoursCommand::Preview(command) => preview::run(output, &command),
        HoursCommand::Import(command) => import::run(output, &command),
    }
}

/// Holidays from a file, for every form of the command.
#[derive(Debug, Args)]
struct Holidays {
    /// An iCalendar file: its whole days are holidays, its hours closures
    #[arg(long = "ics", value_name = "PATH")]
    path: Option<String>,
}

impl Holidays {
    fn read(&self, from: Date, days: u32, zone: &str) -> Result<Imported, Failure> {
        let Some(path) = &self.path else {
            return Ok(Imported::default());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--ics: cannot read {path}: {error}")))?;
        ical::holidays_from(&text, from, days, zone).map_err(|error| Failure::Invalid {
            summary: format!("{path} cannot be used"),
            violations: vec![Violation {
                file: Some(path.clone()),
                line: None,
                column: None,
                field: String::new(),
                description: error.to_string(),
            }],
        })
    }
}

/// Adds what a file of holidays holds to a schedule's own.
fn add(hours: &mut Hours, imported: &Imported) {
    let dates = imported.dates.iter().map(|(date, _)| *date);
    hours.plan.holidays.extend(dates);
    hours.closures.extend(imported.closures.iter().cloned());
}

/// Opening hours with what their dates are called.
struct Named {
    hours: Hours,
    names: BTreeMap<Date, String>,
}

/// Reads OpenStreetMap's form, for the days given.
fn from_osm(
    text: &str,
    zone: &str,
    imported: Imported,
    (from, days): (Date, u32),
) -> Result<Named, Failure> {
    let known = known(&imported, from, days);
    let plan = osm::import(text, zone, &known).map_err(|error| refuse_osm(&error))?;
    let names = imported.dates.into_iter().collect();
    let hours = Hours {
        closures: imported.closures,
        ..Hours::from(plan)
    };
    Ok(Named { hours, names })
}

fn known(imported: &Imported, from: Date, days: u32) -> Known {
    let holidays = imported.dates.iter().map(|(date, _)| *date);
    Known {
        holidays: holidays.collect(),
        from,
        days,
    }
}

fn refuse_osm(error: &OsmError) -> Failure {
    Failure::Invalid {
        summary: "--osm cannot be turned into a schedule".to_owned(),
        violations: vec![Violation {
            file: None,
            line: None,
            column: None,
            field: "--osm".to_owned(),
            description: error.to_string(),
        }],
    }
}

/// Looks a zone up, and the date it has now unless another is given.
fn first_day(zone: &str, from: Option<Date>) -> Result<(TimeZone, Date), Failure> {
    let zone =
        meridian_calendar::zone(zone).map_err(|error| Failure::Usage(format!("--{error}")))?;
    let today = || Timestamp::now().to_zoned_datetime(zone.clone()).date();
    let first = from.unwrap_or_else(today);
    Ok((zone, first))
}

/// A file's name and text; `-` is standard input.
pub(super) fn read(path: &str) -> Result<(String, String), Failure> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(("stdin".to_owned(), text));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("FILE: cannot read {path}: {error}")))?;
    Ok((path.to_owned(), text))
}

/// A date of the command line.
pub(super) fn date(text: &str) -> Result<Date, String> {
    let date = Date::strptime("%Y-%m-%d", text).ok();
    // Near the ends of what is computed there is no day before or after.
    let date = date.filter(|d| (1900..=9000).contains(&d.year()));
    date.ok_or_else(|| "write it like 2026-12-25, from 1900 to 9000".to_owned())
}

/// How many days of the command line.
fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok();
    let days = days.filter(|d| (1..=HORIZON_DAYS_MAX).contains(d));
    days.ok_or_else(|| format!("give 1 to {HORIZON_DAYS_MAX}"))
}

/// The week alone, as OpenStreetMap writes it.
fn week(plan: &Plan) -> String {
    osm::export(&Plan {
        zone: plan.zone.clone(),
        week: plan.week.clone(),
        ..Plan::default()
    })
}
