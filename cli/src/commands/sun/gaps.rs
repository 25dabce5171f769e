//! Gaps of coverage, told to people and programs.

use jiff::Timestamp;
use meridian_calendar::{Millis, Span, zone_data};
use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::coverage::{self, Cover, DAY_MS, Gap, Language, Schedules};
use super::{local, utc};
use crate::failure::Failure;
use crate::output::{Field, Output, Tone, render_table};
use crate::time::format_millis;

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    from: Timestamp,
    to: Timestamp,
    zone_data: &'static str,
    /// Nobody is on shift.
    gaps: Vec<Row>,
    /// One agent is on shift alone.
    thin: Vec<Row>,
    /// What no schedule says anything about.
    uncertain: Vec<Uncertain>,
}

#[derive(Debug, Serialize)]
struct Row {
    queue: String,
    language: String,
    from_utc: Timestamp,
    to_utc: Timestamp,
    length_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<String>,
    /// Who comes next; absent when nobody does within a year.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
}

#[derive(Debug, Serialize)]
struct Next {
    agent: String,
    region: String,
    zone: String,
    at_utc: Timestamp,
    /// The gap and the arrival on the clock of that region; absent where its zone is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<Local>,
}

#[derive(Debug, Serialize)]
struct Local {
    from: String,
    to: String,
    at: String,
}

#[derive(Debug, Serialize)]
struct Uncertain {
    queue: String,
    language: String,
    /// Agents without schedule who serve the language whenever they are available.
    whenever_available: Vec<String>,
    /// Whether others have schedules.
    planned: bool,
}

/// Looks at the queues for some days from an instant on.
///
/// # Errors
/// When the configuration cannot be used.
pub(super) fn report(
    configuration: &api::Configuration,
    schedules: &Schedules,
    queues: &[&api::Queue],
    (from, days): (Millis, u32),
    thin: bool,
) -> Result<Report, Failure> {
    let window = Span {
        start: from,
        end: from + Millis::from(days) * DAY_MS,
    };
    let mut report = Report {
        from: utc(window.start)?,
        to: utc(window.end)?,
        zone_data: zone_data(),
        gaps: Vec::new(),
        thin: Vec::new(),
        uncertain: Vec::new(),
    };
    for queue in queues {
        let Cover { open, languages } = coverage::cover(configuration, schedules, queue)?;
        for language in &languages {
            if !language.planned() || !language.whenever.is_empty() {
                report.uncertain.push(Uncertain {
                    queue: queue.id.clone(),
                    language: language.label.clone(),
                    whenever_available: language.whenever.iter().map(|a| (*a).into()).collect(),
                    planned: language.planned(),
                });
            }
            if !language.planned() {
                continue;
            }
            for gap in language.gaps(open, window, thin) {
                let row = row(configuration, &queue.id, language, &gap)?;
                match gap.only {
                    Some(_) => report.thin.push(row),
                    None => report.gaps.push(row),
                }
            }
        }
    }
    for rows in [&mut report.gaps, &mut report.thin] {
        rows.sort_by_key(|r| r.from_utc);
    }
    Ok(report)
}

fn row(
    configuration: &api::Configuration,
    queue: &str,
    language: &Language,
    gap: &Gap,
) -> Result<Row, Failure> {
    let (from_utc, to_utc) = (utc(gap.span.start)?, utc(gap.span.end)?);
    let next = |(at, agent): (Millis, &api::Agent)| {
        let at_utc = utc(at)?;
        let region = configuration.regions.iter().find(|r| r.id == agent.region);
        let zone = region.map(|r| r.zone.clone()).unwrap_or_default();
        let clock = |at| {
            let at = local(at, &zone)?;
            Some(at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
        };
        let there = || {
            Some(Local {
                from: clock(from_utc)?,
                to: clock(to_utc)?,
                at: clock(at_utc)?,
            })
        };
        Ok::<_, Failure>(Next {
            agent: agent.id.clone(),
            region: agent.region.clone(),
            at_utc,
            local: there(),
            zone,
        })
    };
    Ok(Row {
        queue: queue.to_owned(),
        language: language.label.clone(),
        from_utc,
        to_utc,
        length_ms: gap.span.end - gap.span.start,
        only: gap.only.map(str::to_owned),
        next: gap.next.map(next).transpose()?,
    })
}

impl Report {
    /// Writes it.
    ///
    /// # Errors
    /// When there are gaps, or the output is closed.
    pub(super) fn tell(&self, output: &Output) -> Result<(), Failure> {
        output.document(self, || self.text(output))?;
        let span = format!("from {} to {}", minute(self.from), minute(self.to));
        match self.gaps.len() {
            0 => Ok(()),
            1 => Err(Failure::Failed(format!("1 gap {span}"))),
            n => Err(Failure::Failed(format!("{n} gaps {span}"))),
        }
    }

    fn text(&self, output: &Output) -> String {
        let mut text = String::new();
        let mut rows: Vec<_> = self.gaps.iter().chain(&self.thin).collect();
        rows.sort_by_key(|r| r.from_utc);
        let header = [
            "queue", "language", "from utc", "to utc", "length", "on shift", "there", "next",
        ];
        if rows.is_empty() {
            text += "no gaps\n";
        } else {
            let rows = rows.into_iter().map(Row::fields).collect();
            text += &render_table(&header, rows, output.paint);
            text += "\n";
        }
        for Uncertain {
            queue,
            language,
            whenever_available,
            planned,
        } in &self.uncertain
        {
            let agents = whenever_available.join(", ");
            text += &match (whenever_available.is_empty(), planned) {
                (true, _) => format!(
                    "{queue}: {language}: nobody serves it at the queue's first step; its speakers' level or region falls short\n"
                ),
                (false, true) => format!(
                    "{queue}: {language}: not counted, as they have no schedule: {agents}\n"
                ),
                (false, false) => format!(
                    "{queue}: {language}: only whenever available, so no gap can be told: {agents}\n"
                ),
            };
        }
        text
    }
}

impl Row {
    fn fields(&self) -> Vec<Field> {
        let (there, next) = match &self.next {
            None => ("-".to_owned(), "nobody".to_owned()),
            Some(next) => {
                let at = minute(next.at_utc);
                (
                    self.there(next).unwrap_or_else(|| "-".to_owned()),
                    format!("{} ({}) {at}", next.agent, next.region),
                )
            }
        };
        let on_shift = match &self.only {
            Some(agent) => Field(format!("only {agent}"), Tone::Warn),
            None => Field("nobody".to_owned(), Tone::Bad),
        };
        vec![
            Field::from(&self.queue),
            Field::from(&self.language),
            Field::from(minute(self.from_utc)),
            Field::from(minute(self.to_utc)),
            Field::from(format_millis(self.length_ms.unsigned_abs())),
            on_shift,
            Field::from(there),
            Field::from(next),
        ]
    }

    /// `Sun 08:00 - 09:00 Europe/London`.
    fn there(&self, next: &Next) -> Option<String> {
        let from = local(self.from_utc, &next.zone)?;
        let to = local(self.to_utc, &next.zone)?;
        let end = match from.date() == to.date() {
            true => to.strftime("%H:%M"),
            false => to.strftime("%a %H:%M"),
        };
        Some(format!(
            "{} - {end} {}",
            from.strftime("%a %H:%M"),
            next.zone
        ))
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}
