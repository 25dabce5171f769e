//! `meridian hours import`.

use clap::Args;
use jiff::civil::Date;
use meridian_calendar::HORIZON_DAYS_MAX;
use meridian_proto::livechat::v1 as api;

use super::{Holidays, Named, first_day, from_osm, schedule};
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::world::{File, World};

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
    let closures = named.hours.closures.len();
    let comments = comments(&named);
    let mut plan = named.hours.plan;
    // The world file knows no closures.
    for closure in &named.hours.closures {
        plan = plan.without_closure(closure).map_err(|error| {
            let (from, to) = (closure.from, closure.to);
            Failure::Failed(format!("the closure from {from} to {to}: {error}"))
        })?;
    }
    let world = World::from(api::Configuration {
        schedules: vec![schedule::write(&command.id, &plan)],
        ..Default::default()
    });
    let text = comments + &crate::output::yaml(&world)?;
    // What `apply` would refuse is refused here, with its words.
    File::read("the schedule", &text)?;
    if let Some(path) = &command.holidays.path {
        let days = command.days;
        output.note(&format!(
            "{path}, {days} days from {from} on: {} and {}; closures became exceptions",
            counted(holidays, "holiday"),
            counted(closures, "closure"),
        ));
    }
    output.document(&world, || text)
}

/// What the world file has no field for, as comments: why dates are closed.
fn comments(named: &Named) -> String {
    let names = named.names.iter();
    let holidays = names.map(|(date, name)| format!("# {date} {name}"));
    let closures = named.hours.closures.iter().map(|c| {
        let (from, to) = (
            c.from.strftime("%Y-%m-%d %H:%M"),
            c.to.strftime("%Y-%m-%d %H:%M"),
        );
        format!("# {from} to {to} {}", c.reason)
    });
    // A name may hold anything, and must not end its comment.
    let lines = holidays.chain(closures);
    lines.map(|l| printable(l.trim_end()) + "\n").collect()
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
