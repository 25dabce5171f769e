//! `meridian hours lint`.

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use jiff::civil::Date;
use meridian_calendar::{Finding, HORIZON_DAYS_MAX, osm};
use meridian_proto::livechat::v1 as api;
use serde::Serialize;
use tonic::Code;

use super::{Holidays, add, first_day, known, read};
use crate::failure::{Failure, ServerError, Violation};
use crate::output::Output;
use crate::world::{File, calendar};

/// Tell what a schedule says but hardly means.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["file", "osm"]))]
pub struct LintCommand {
    /// A world file, every schedule of which is looked at; - reads standard input
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// Or hours in OpenStreetMap's form, such as "Mo-Fr 09:00-17:00"
    #[arg(long, value_name = "TEXT")]
    osm: Option<String>,
    /// Their IANA zone, which says what date it is and when the file's hours are
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "UTC",
        conflicts_with = "file"
    )]
    zone: String,
    #[command(flatten)]
    holidays: Holidays,
    /// First of the 400 days looked at; today without it
    #[arg(long, value_name = "DATE", value_parser = super::date)]
    from: Option<Date>,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Violation>,
}

/// Runs it.
///
/// # Errors
/// When there is something to tell, or what is given cannot be read.
pub(super) fn run(output: &Output, command: &LintCommand) -> Result<(), Failure> {
    let (looked_at, findings) = match (&command.file, &command.osm) {
        (Some(path), _) => lint_file(path, command)?,
        (_, osm) => lint_osm(osm.as_deref().unwrap_or_default(), command)?,
    };
    let report = Findings { findings };
    let count = report.findings.len();
    if count == 0 && output.format == crate::output::Format::Table {
        output.note(&format!("{looked_at}: nothing to tell"));
        return Ok(());
    }
    output.document(&report, || {
        let lines = report.findings.iter().map(|v| format!("{v}\n"));
        lines.collect()
    })?;
    match count {
        0 => Ok(()),
        1 => Err(Failure::Failed(format!("{looked_at}: 1 finding"))),
        n => Err(Failure::Failed(format!("{looked_at}: {n} findings"))),
    }
}

fn lint_osm(text: &str, command: &LintCommand) -> Result<(String, Vec<Violation>), Failure> {
    let (_, from) = first_day(&command.zone, command.from)?;
    let holidays = &command.holidays;
    let imported = holidays.read(from, HORIZON_DAYS_MAX, &command.zone)?;
    let found = osm::lint(text, &known(&imported, from, HORIZON_DAYS_MAX));
    let found = found.into_iter().map(|f| violation(f.at.clone(), f));
    Ok(("--osm".to_owned(), found.collect()))
}

fn lint_file(path: &str, command: &LintCommand) -> Result<(String, Vec<Violation>), Failure> {
    let (name, text) = read(path)?;
    let file = File::read(&name, &text)?;
    let mut findings = Vec::new();
    let schedules = &file.configuration.schedules;
    for (i, schedule) in schedules.iter().enumerate() {
        let at = format!("schedules[{i}]");
        if !used(&file.configuration, &schedule.id) {
            let fix = "take it out, or name it where it is meant";
            let problem = format!(
                "no region, queue or agent of this file uses '{}'",
                schedule.id
            );
            findings.push(Violation {
                description: format!("{problem}; {fix}"),
                ..blank(at.clone())
            });
        }
        findings.extend(lint_schedule(&at, schedule, command)?);
    }
    let looked_at = match schedules.len() {
        1 => format!("{name}: 1 schedule"),
        n => format!("{name}: {n} schedules"),
    };
    Ok((looked_at, placed(&file, findings)))
}

fn used(configuration: &api::Configuration, id: &str) -> bool {
    let regions = configuration.regions.iter().map(|r| &r.schedule);
    let queues = configuration.queues.iter().map(|q| &q.schedule);
    let agents = configuration.agents.iter().map(|a| &a.schedule);
    regions.chain(queues).chain(agents).any(|s| s == id)
}

fn lint_schedule(
    at: &str,
    schedule: &api::Schedule,
    command: &LintCommand,
) -> Result<Vec<Violation>, Failure> {
    if let Some(last) = schedule.spans.last() {
        // Planned elsewhere, in UTC: only their age can be told.
        let passed = last.to_ms <= Timestamp::now().as_millisecond();
        let old = passed.then(|| Violation {
            description: "have all passed; plan the coming ones".to_owned(),
            ..blank(format!("{at}.spans"))
        });
        return Ok(old.into_iter().collect());
    }
    let (_, from) = first_day(&schedule.zone, command.from)?;
    let mut read = calendar::read(schedule)?;
    let holidays = &command.holidays;
    let imported = holidays.read(from, HORIZON_DAYS_MAX, &schedule.zone)?;
    // What only the calendar knows is none of the file's.
    let own = read.hours.closures.len();
    add(&mut read.hours, &imported);
    let mut found = Vec::new();
    for mut finding in meridian_calendar::lint::lint(&read.hours, from) {
        let mut field = format!("{at}.{}", finding.at);
        let lists = [("week", &read.shifts), ("breaks", &read.breaks)];
        let entry = lists.iter().find_map(|(list, entries)| {
            let entry = entries.get(number(&finding.at, &format!("{list}["))?)?;
            Some((list, entry))
        });
        if let Some((list, (entry, day))) = entry {
            // The calendar counts the shifts of each day, the file entries of several.
            field = format!("{at}.{list}[{entry}]");
            finding.problem = format!("{day}: {}", finding.problem);
        } else if finding.at.starts_with("exceptions[") {
            let same = |e: &api::ScheduleException| finding.at.contains(&e.date);
            let entry = schedule
                .exceptions
                .iter()
                .position(same)
                .unwrap_or_default();
            field = format!("{at}.exceptions[{entry}]");
            let date = &schedule.exceptions[entry].date;
            finding.problem = format!("{date}: {}", finding.problem);
        } else if number(&finding.at, "closures[").is_some_and(|n| n >= own) {
            // These come with the holidays, which may serve schedules they do not touch.
            continue;
        }
        found.push(violation(field, finding));
    }
    Ok(found)
}

/// The number after a prefix such as `week[`.
fn number(at: &str, prefix: &str) -> Option<usize> {
    at.strip_prefix(prefix)?.split(']').next()?.parse().ok()
}

fn blank(field: String) -> Violation {
    Violation {
        file: None,
        line: None,
        column: None,
        field,
        description: String::new(),
    }
}

fn violation(field: String, finding: Finding) -> Violation {
    Violation {
        description: format!("{}; {}", finding.problem, finding.fix),
        ..blank(field)
    }
}

/// Findings with the lines of their fields, in the file's order. The file places what a node complains of,
/// so they are handed to it in that form.
fn placed(file: &File, violations: Vec<Violation>) -> Vec<Violation> {
    let complaint = Failure::Server(Box::new(ServerError {
        code: Code::InvalidArgument,
        message: String::new(),
        endpoint: String::new(),
        reason: None,
        violations,
        retry_after: None,
    }));
    let mut placed = match file.place(complaint) {
        Failure::Server(error) => error.violations,
        _ => Vec::new(),
    };
    placed.sort_by_key(|v| (v.line, v.column));
    placed
}
