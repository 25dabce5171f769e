//! `meridian sun`: who covers which language when, of a cluster's configuration or of a file's.

mod chart;
mod coverage;
mod gaps;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use meridian_calendar::Millis;
use meridian_proto::livechat::v1 as api;

use super::{Context, config, hours};
use crate::args::Read;
use crate::failure::Failure;
use crate::output::Output;
use crate::world::File;

/// Most days looked at; schedules are resolved a little further, to say who comes after the last gap.
const DAYS_MAX: u32 = 366;

/// Follow the sun: of the cluster's configuration, or of a file before it is applied.
#[derive(Debug, Subcommand)]
pub enum SunCommand {
    /// Draw a day: agents on shift by language, regions at work, and the sun order
    Show(ShowCommand),
    /// List when an open queue has nobody on shift for a language; ends with 1 if there is such a time
    Gaps(GapsCommand),
}

/// What both look at.
#[derive(Debug, Args)]
pub struct What {
    /// A world file in place of the cluster's configuration; - reads standard input
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Only this queue
    #[arg(long, value_name = "ID")]
    queue: Option<String>,
    #[command(flatten)]
    read: Read,
}

/// Draw a day.
#[derive(Debug, Args)]
pub struct ShowCommand {
    #[command(flatten)]
    what: What,
    /// The instant, such as 2026-11-25T14:30Z, or a date for its 00:00 UTC; now without it
    #[arg(long, value_name = "INSTANT|DATE", value_parser = instant)]
    at: Option<Timestamp>,
}

/// List gaps.
#[derive(Debug, Args)]
pub struct GapsCommand {
    #[command(flatten)]
    what: What,
    /// The first instant, such as 2026-11-25T14:30Z, or a date for its 00:00 UTC; now without it
    #[arg(long, value_name = "INSTANT|DATE", value_parser = instant)]
    from: Option<Timestamp>,
    /// How many days, 1 to 366
    #[arg(long, value_name = "N", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: u32,
    /// Also tell when one agent is on shift alone; that does not change the exit code
    #[arg(long)]
    thin: bool,
}

impl SunCommand {
    fn what(&self) -> &What {
        match self {
            Self::Show(command) => &command.what,
            Self::Gaps(command) => &command.what,
        }
    }

    /// The file to look at, which needs no cluster.
    pub fn file(&self) -> Option<&str> {
        self.what().file.as_deref()
    }
}

/// Runs it on the cluster's configuration.
///
/// # Errors
/// When the cluster cannot be asked, or there are gaps.
pub async fn run(context: &Context, command: &SunCommand) -> Result<(), Failure> {
    let configuration = config::get(context, command.what().read).await?;
    look(&context.output, command, &configuration)
}

/// Runs it on the file's configuration.
///
/// # Errors
/// When the file cannot be read or is wrong, or there are gaps.
pub fn run_file(output: &Output, command: &SunCommand) -> Result<(), Failure> {
    let (name, text) = hours::read(command.file().unwrap_or("-"))?;
    let file = File::read(&name, &text)?;
    file.refuse_dangling(None)?;
    look(output, command, &file.configuration)
}

fn look(
    output: &Output,
    command: &SunCommand,
    configuration: &api::Configuration,
) -> Result<(), Failure> {
    let queues = queues(configuration, command.what().queue.as_deref())?;
    match command {
        SunCommand::Show(command) => {
            let at = command.at.unwrap_or_else(Timestamp::now).as_millisecond();
            let schedules = coverage::resolve(configuration, at)?;
            let chart = chart::chart(configuration, &schedules, &queues, at)?;
            output.document(&chart, || chart.text(output.paint))
        }
        SunCommand::Gaps(command) => {
            let from = command.from.unwrap_or_else(Timestamp::now).as_millisecond();
            let schedules = coverage::resolve(configuration, from)?;
            let window = (from, command.days);
            let report = gaps::report(configuration, &schedules, &queues, window, command.thin)?;
            report.tell(output)
        }
    }
}

fn queues<'a>(
    configuration: &'a api::Configuration,
    id: Option<&str>,
) -> Result<Vec<&'a api::Queue>, Failure> {
    let all = configuration.queues.iter();
    let found: Vec<_> = all.filter(|q| id.is_none_or(|id| q.id == id)).collect();
    if let (Some(id), []) = (id, found.as_slice()) {
        let ids: Vec<_> = configuration.queues.iter().map(|q| q.id.as_str()).collect();
        let ids = match ids.as_slice() {
            [] => "there are none".to_owned(),
            ids => format!("name one of {}", ids.join(", ")),
        };
        return Err(Failure::Usage(format!("--queue: no queue '{id}'; {ids}")));
    }
    Ok(found)
}

/// An instant or a date of the command line, in the years the routing core knows.
fn instant(text: &str) -> Result<Timestamp, String> {
    let date = || {
        let midnight = hours::date(text).ok()?.at(0, 0, 0, 0);
        TimeZone::UTC.to_timestamp(midnight).ok()
    };
    let at = text.parse::<Timestamp>().ok().or_else(date);
    let years = 1970..=9000;
    let at = at.filter(|at| years.contains(&TimeZone::UTC.to_datetime(*at).year()));
    at.ok_or_else(|| "write it like 2026-12-25 or 2026-12-25T14:30Z, from 1970 to 9000".to_owned())
}

fn utc(at: Millis) -> Result<Timestamp, Failure> {
    Timestamp::from_millisecond(at).map_err(|e| Failure::Failed(format!("a time: {e}")))
}

/// A time in a region's zone; none where the cluster knows a zone that this program does not.
fn local(at: Timestamp, zone: &str) -> Option<ZonedDateTime> {
    let zone = meridian_calendar::zone(zone).ok()?;
    Some(at.to_zoned_datetime(zone))
}
