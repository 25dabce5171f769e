//! Who is on shift when: hours of a language without anybody, found before anyone waits in them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::format::{Day, Level, TimeOfDay};
use crate::organisation::{Organisation, Schedule};

/// Why coverage could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoverageError {
    /// A schedule's zone is not in the zone data.
    #[error("schedules[{schedule}].zone: '{zone}' is not an IANA time zone")]
    UnknownZone {
        /// The schedule.
        schedule: String,
        /// Its zone.
        zone: String,
    },
    /// The time is beyond what the calendar computes.
    #[error("the span leaves the calendar's range (years -9999 to 9999)")]
    OutOfRange,
}

/// Agents on shift by language and hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Begin of the first hour, UTC milliseconds.
    pub from_ms: i64,
    /// For each language, agents on shift at half past each hour.
    pub on_shift: BTreeMap<String, Vec<u32>>,
}

impl Coverage {
    /// Hours of the span in which nobody who speaks the language is on shift; all of them for a
    /// language nobody speaks.
    pub fn gaps(&self, language: &str) -> Option<usize> {
        let hours = self.on_shift.get(language)?;
        Some(hours.iter().filter(|agents| **agents == 0).count())
    }
}

/// Counts agents on shift who speak each language at `level` or better, for `hours` hours from a UTC
/// time. An agent without a schedule counts in every hour.
///
/// # Errors
/// [`CoverageError`].
pub fn coverage(
    organisation: &Organisation,
    from_ms: i64,
    hours: u32,
    level: Level,
) -> Result<Coverage, CoverageError> {
    let zones = TimeZoneDatabase::bundled();
    let times: Vec<Timestamp> = (0..i64::from(hours))
        .map(|hour| Timestamp::from_millisecond(from_ms + hour * 3_600_000 + 1_800_000))
        .collect::<Result<_, _>>()
        .map_err(|_| CoverageError::OutOfRange)?;
    let mut open = BTreeMap::new();
    for schedule in &organisation.schedules {
        let unknown = || CoverageError::UnknownZone {
            schedule: schedule.id.clone(),
            zone: schedule.zone.clone(),
        };
        let zone = zones.get(&schedule.zone).map_err(|_| unknown())?;
        let hours: Vec<bool> = times.iter().map(|t| is_open(schedule, &zone, *t)).collect();
        open.insert(schedule.id.as_str(), hours);
    }
    let mut on_shift = BTreeMap::<String, Vec<u32>>::new();
    for agent in &organisation.agents {
        for spoken in agent.languages.iter().filter(|l| l.level >= level) {
            let counts = on_shift.entry(spoken.language.clone()).or_default();
            counts.resize(times.len(), 0);
            let hours = agent.schedule.as_deref().and_then(|s| open.get(s));
            for (i, count) in counts.iter_mut().enumerate() {
                *count += u32::from(hours.is_none_or(|h| h[i]));
            }
        }
    }
    Ok(Coverage { from_ms, on_shift })
}

/// Whether a schedule is open at an instant, by the wall clock of its zone. Where the clock is set back,
/// an hour that comes twice is open twice; the node's calendar is exact there, this is for planning.
pub fn is_open(schedule: &Schedule, zone: &TimeZone, at: Timestamp) -> bool {
    let local = zone.to_datetime(at);
    let minute = local.hour() as u16 * 60 + local.minute() as u16;
    let today = hours(schedule, local.date()).into_iter().any(|(from, to)| {
        let ends_today = to > from;
        from.minutes() <= minute && (minute < to.minutes() || !ends_today)
    });
    let yesterday = local.date().yesterday().ok();
    let evening = yesterday.map(|d| hours(schedule, d)).unwrap_or_default();
    today
        || evening
            .iter()
            .any(|(from, to)| to <= from && minute < to.minutes())
}

/// The shifts that begin on a local date.
fn hours(schedule: &Schedule, date: Date) -> Vec<(TimeOfDay, TimeOfDay)> {
    if let Some(exception) = schedule.exceptions.iter().find(|e| e.date == date) {
        return exception.hours.iter().map(|h| (h.from, h.to)).collect();
    }
    if schedule.holidays.contains(&date) {
        return Vec::new();
    }
    let day = Day::from(date.weekday());
    let shifts = schedule.week.iter().filter(|s| s.days.contains(&day));
    shifts.map(|s| (s.from, s.to)).collect()
}
