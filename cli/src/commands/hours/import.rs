//! `meridian hours import`.

use clap::Args;
use jiff::civil::Date;
use meridian_calendar::HORIZON_DAYS_MAX;
use meridian_proto::livechat::v1 as api;

use super::{Holidays, Named, first_day, from_osm};
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::world::{File, World, calendar};

/// Turn OpenStreetMap's opening_hours into a schedule for the world file.
#[derive(Debug, Args)]
pub struct ImportCommand {
    /// The hours, such as "Mo-Fr 09:00-13:00,14:00-18:00; PH off"
    #[arg(long, value_name = "TEXT")]
    osm: String,
    /// Their IANA zone
    #[arg(long, value_name = "ZONE")]
    zone: String,
    /// The schedule's id
    #[arg(long, value_name = "ID")]
    id: String,
    #[command(flatten)]
    holidays: Holidays,
    /// First date whose holidays and dates become exceptions; today without it
    #[arg(long, value_name = "DATE", value_parser = super::date)]
    from: Option<Date>,
    /// How many days of them
    #[arg(long, value_name = "N", default_value_t = HORIZON_DAYS_MAX, value_parser = super::days)]
    days: u32,
}

/// Runs it.
///
/// # Errors
/// When the hours or the file cannot be read or make no schedule.
pub(super) fn run(output: &Output, command: &ImportCommand) -> Result<(), Failure> {
    let (_, from) = first_day(&command.zone, command.from)?;
    let imported = command.holidays.read(from, command.days, &command.zone)?;
    let holidays = imported.dates.len();
    let named = from_osm(&command.osm, &command.zone, imported, (from, command.days))?;
    let world = World::from(api::Configuration {
        schedules: vec![calendar::write(&command.id, &named.hours)],
        ..Default::default()
    });
    let text = comments(&named) + &crate::output::yaml(&world)?;
    // What `apply` would refuse is refused here, with its words.
    File::read("the schedule", &text)?;
    if let Some(path) = &command.holidays.path {
        let days = command.days;
        output.note(&format!(
            "{path}, {days} days from {from} on: {} and {}",
            counted(holidays, "holiday"),
            counted(named.hours.closures.len(), "closure"),
        ));
    }
    output.document(&world, || text)
}

/// What the world file has no field for, as comments: what holidays are called.
fn comments(named: &Named) -> String {
    let names = named.names.iter();
    let lines = names.map(|(date, name)| format!("# {date} {name}"));
    // A name may hold anything, and must not end its comment.
    lines.map(|l| printable(l.trim_end()) + "\n").collect()
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
