//! A day of coverage as numbers and as a chart of 80 columns.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meridian_calendar::{Millis, Span};
use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::coverage::{self, DAY_MS, Schedules};
use super::{local, utc};
use crate::failure::Failure;
use crate::output::{Paint, printable};

/// Slots of a day, one column each.
const SLOTS: i64 = 48;
const SLOT_MS: Millis = DAY_MS / SLOTS;
/// Widest name before the columns, so that all of it fits 80.
const NAME_MAX: usize = 24;

/// A day.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    date: Date,
    zone: &'static str,
    slot_minutes: i64,
    at: Timestamp,
    queues: Vec<QueueRows>,
    regions: Vec<RegionRow>,
}

#[derive(Debug, Serialize)]
struct QueueRows {
    queue: String,
    languages: Vec<LanguageRow>,
}

#[derive(Debug, Serialize)]
struct LanguageRow {
    language: String,
    /// Fewest on shift in each slot; none while the queue is closed.
    agents: Vec<Option<u32>>,
    /// Agents without schedule, who count in no slot.
    whenever_available: Vec<String>,
}

/// Regions stand in sun order.
#[derive(Debug, Serialize)]
struct RegionRow {
    region: String,
    zone: String,
    at_work: bool,
    /// When the working day ends; of a region not at work, when it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    working: Vec<bool>,
}

/// Computes the UTC day that holds `at`.
///
/// # Errors
/// When the configuration cannot be used.
pub(super) fn chart(
    configuration: &api::Configuration,
    schedules: &Schedules,
    queues: &[&api::Queue],
    at: Millis,
) -> Result<Chart, Failure> {
    let start = at - at.rem_euclid(DAY_MS);
    let day = Span {
        start,
        end: start + DAY_MS,
    };
    let mut rows = Vec::new();
    for queue in queues {
        let cover = coverage::cover(configuration, schedules, queue)?;
        let row = |language: &coverage::Language| {
            let slots = language.slots(cover.open, day, SLOTS).into_iter();
            LanguageRow {
                language: language.label.clone(),
                agents: slots.map(|s| s.open.then_some(s.agents)).collect(),
                whenever_available: language.whenever.iter().map(|a| (*a).to_owned()).collect(),
            }
        };
        rows.push(QueueRows {
            queue: queue.id.clone(),
            languages: cover.languages.iter().map(row).collect(),
        });
    }
    let mut regions = Vec::new();
    for id in coverage::sun_order(configuration, schedules, at)? {
        let found = configuration.regions.iter().find(|r| r.id == id);
        let schedule = found.and_then(|r| schedules.get(&r.schedule));
        if let (Some(region), Some(schedule)) = (found, schedule) {
            let working = |n| {
                let from = start + n * SLOT_MS;
                let begins = schedule.next_start(from);
                schedule.contains(from) || begins.is_some_and(|at| at < from + SLOT_MS)
            };
            let span = schedule.span_at(at);
            let until = match span {
                Some(span) => Some(schedule.day_end(span)),
                None => schedule.next_start(at),
            };
            regions.push(RegionRow {
                region: id,
                zone: region.zone.clone(),
                at_work: span.is_some(),
                until: until.map(utc).transpose()?,
                working: (0..SLOTS).map(working).collect(),
            });
        }
    }
    Ok(Chart {
        date: utc(start)?.to_zoned_datetime(TimeZone::UTC).date(),
        zone: "UTC",
        slot_minutes: SLOT_MS / 60_000,
        at: utc(at)?,
        queues: rows,
        regions,
    })
}

impl Chart {
    /// The chart; without colour it says the same.
    pub(super) fn text(&self, paint: Paint) -> String {
        let names = self.queues.iter().flat_map(|q| &q.languages);
        let names = names.map(|l| &l.language);
        let regions = self.regions.iter().map(|r| &r.region);
        let widest = names.chain(regions).map(|n| n.chars().count()).max();
        let width = widest.unwrap_or_default().clamp(8, NAME_MAX);
        let name = |name: &str| {
            let name: String = printable(name).chars().take(NAME_MAX).collect();
            format!("{name:width$} ")
        };
        let hours: String = (0..24).step_by(2).map(|h| format!("{h:02}  ")).collect();
        let mut text = format!(
            "{} (UTC, half an hour a column)\n{}{}\n",
            self.date,
            name(""),
            hours.trim_end()
        );
        // The mark's time stands on the side that has room for it.
        let clock = self.at.strftime("%H:%M");
        let column = (self.at.as_millisecond().rem_euclid(DAY_MS) / SLOT_MS) as usize;
        text += &name("");
        text += &match column {
            ..40 => format!("{}v {clock}\n", " ".repeat(column)),
            _ => format!("{}{clock} v\n", " ".repeat(column - 6)),
        };
        for queue in &self.queues {
            text += &format!("{}\n", paint.bold(&format!("queue {}", queue.queue)));
            for row in &queue.languages {
                let cells = row.agents.iter().map(|agents| cell(*agents, paint));
                let line = name(&row.language) + &cells.collect::<String>();
                text += &format!("{}\n", line.trim_end());
            }
            for row in &queue.languages {
                if !row.whenever_available.is_empty() {
                    let agents = row.whenever_available.join(", ");
                    text += &format!(
                        "  {}: whenever available, not counted: {agents}\n",
                        row.language
                    );
                }
            }
        }
        text += &format!("{}\n", paint.bold("regions"));
        for row in &self.regions {
            let cells = row.working.iter().map(|w| if *w { '#' } else { '.' });
            text += &format!("{}{}\n", name(&row.region), cells.collect::<String>());
        }
        text += &format!("sun order at {}\n", self.at.strftime("%Y-%m-%d %H:%M UTC"));
        for (place, row) in self.regions.iter().enumerate() {
            let shown = row.until.map(|at| {
                let there = local(at, &row.zone).map(|at| at.strftime("%H:%M %Z").to_string());
                let at = at.strftime("%Y-%m-%d %H:%M UTC");
                there.map_or(format!("{at}"), |there| format!("{at} ({there})"))
            });
            let word = match (row.at_work, shown) {
                (true, Some(at)) => format!("at work until {at}"),
                (false, Some(at)) => format!("begins {at}"),
                (_, None) => "never at work".to_owned(),
            };
            text += &format!("  {} {}{word}\n", place + 1, name(&row.region));
        }
        text + "1-9 agents on shift, + ten or more, . nobody, blank: queue closed; # at work\n"
    }
}

fn cell(agents: Option<u32>, paint: Paint) -> String {
    match agents {
        None => " ".to_owned(),
        Some(0) => paint.error("."),
        Some(1) => paint.warn("1"),
        Some(n @ 2..10) => paint.good(&n.to_string()),
        Some(_) => paint.good("+"),
    }
}
