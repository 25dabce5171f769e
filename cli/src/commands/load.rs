//! `meridian load`: simulated regional traffic on a cluster, and what people felt.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;
use meridian_load::measure::Standing;
use meridian_load::page::{page, told};
use meridian_load::plan::{Plan, Share};
use meridian_load::report::Report;
use meridian_load::run::{Options, Way, run as play};
use meridian_load::scenario::Scenario;
use meridian_load::stage::Stage;
use meridian_load::threshold::Rank;
use meridian_load::{LoadError, scenario};

use super::{Context, stop_signal};
use crate::failure::Failure;
use crate::output::{Field, Output, Paint, Tone, render_table};

/// Arguments of `meridian load`.
#[derive(Clone, Debug, Args)]
pub struct LoadCommand {
    /// What is played: a file, or one of the scenarios that come along: day, outage, quick, sale, steady
    #[arg(long, value_name = "FILE|NAME", required_unless_present = "add")]
    scenario: Option<String>,
    /// Put the reports of the shares of one run together, as JSON files; nothing is played
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "scenario")]
    add: Vec<PathBuf>,
    /// Print the scenario, to begin one's own with; nothing is played
    #[arg(long)]
    print: bool,
    /// Other people than the scenario's seed brings
    #[arg(long)]
    seed: Option<u64>,
    /// Another number of chats than the scenario's
    #[arg(long)]
    chats: Option<u64>,
    /// Play one part of it, as other processes play the others; needs --start-at
    #[arg(long, value_name = "NUMBER/OF", requires = "start_at")]
    share: Option<Share>,
    /// Begin at this moment, such as 2026-11-24T12:00:00Z
    #[arg(long, value_name = "TIME")]
    start_at: Option<Timestamp>,
    /// Connections to each node
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as JSON, to be added to others
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Add the scenario's queues and agents to a cluster that is configured for something else
    #[arg(long)]
    on_configured: bool,
}

/// Plays a scenario, or puts reports together.
///
/// # Errors
/// An option or the scenario is wrong, the cluster cannot be reached, a threshold did not hold, or a signal ended it.
pub async fn run(context: &Context, command: LoadCommand) -> Result<(), Failure> {
    let output = &context.output;
    let report = match &command.scenario {
        None => together(&command.add)?,
        Some(name) => {
            let scenario = command.scenario(name)?;
            if command.print {
                let text = toml(&scenario)?;
                return output.text(text.trim_end());
            }
            command.play(context, scenario).await?
        }
    };
    if let Some(path) = &command.html {
        write(path, &page(&report)?)?;
    }
    if let Some(path) = &command.json {
        write(path, &crate::output::json(&report, false)?)?;
    }
    for doubt in report.doubts() {
        output.note(&output.paint_err.warn(&format!("note: {doubt}")));
    }
    output.document(&report, || table(&report, output.paint))?;
    report
        .failure()
        .map_or(Ok(()), |why| Err(Failure::Failed(why)))
}

impl LoadCommand {
    fn scenario(&self, name: &str) -> Result<Scenario, LoadError> {
        let path = Path::new(name);
        let mut scenario = match scenario::shipped(name) {
            Some(text) if !path.exists() => Scenario::parse(text)?,
            _ => Scenario::read(path)?,
        };
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.arrivals.chats = self.chats.unwrap_or(scenario.arrivals.chats);
        scenario.check()?;
        Ok(scenario)
    }

    async fn play(&self, context: &Context, scenario: Scenario) -> Result<Report, Failure> {
        let plan = Plan::new(scenario)?;
        let (load, seats) = plan.offered_load();
        context.output.note(&format!(
            "{}: {} chats in {}, {load:.0} talked over at once on average; {} agents with {seats} seats, seed {}",
            plan.scenario.name,
            plan.count(),
            plan.scenario.time.takes,
            plan.organisation.agents.len(),
            plan.scenario.seed
        ));
        let options = Options {
            share: self.share.unwrap_or(Share::WHOLE),
            start_at_ms: self.start_at.map(Timestamp::as_millisecond),
            on_configured: self.on_configured,
        };
        let ways = context.cluster.ways(self.connections.into());
        let way = |(endpoint, channels)| Way { endpoint, channels };
        let ways = ways.into_iter().map(way).collect();
        let live = Live::new(&context.output, plan.scenario.time.takes.ms);
        let played = play(&plan, ways, &options, |stage, standing| {
            live.show(stage, standing)
        });
        let ended = tokio::select! {
            played = played => played.map_err(Failure::from),
            stopped = stop_signal() => Err(stopped),
        };
        live.0.finish_and_clear();
        ended
    }
}

fn together(paths: &[PathBuf]) -> Result<Report, LoadError> {
    let (first, others) = paths.split_first().ok_or_else(|| LoadError::Field {
        field: "--add".to_owned(),
        rule: "names no report".to_owned(),
    })?;
    let mut report = Report::read(first)?;
    for path in others {
        let other = Report::read(path)?;
        report.add(path, other)?;
    }
    Ok(report)
}

fn write(path: &Path, text: &str) -> Result<(), LoadError> {
    std::fs::write(path, text).map_err(|error| LoadError::File {
        path: path.to_owned(),
        error,
    })
}

fn toml(scenario: &Scenario) -> Result<String, LoadError> {
    toml::to_string(scenario).map_err(|error| LoadError::Scenario(error.to_string()))
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        match error {
            LoadError::Unreachable { tried } => Failure::Unreachable { tried },
            LoadError::Refused { .. } | LoadError::Page(_) => Failure::Failed(text),
            _ => Failure::Usage(text),
        }
    }
}

/// A line on stderr while it goes; nothing where there is no terminal.
struct Live(ProgressBar);

impl Live {
    fn new(output: &Output, length_ms: u64) -> Self {
        Self(output.bar(length_ms / 1_000, "{prefix} [{bar:30.yellow}] {msg}"))
    }

    fn show(&self, stage: &Stage, standing: &Standing) {
        let real = Timestamp::now().as_millisecond();
        let world = Timestamp::from_millisecond(stage.world(real)).unwrap_or_default();
        let text = if real < stage.ends() {
            world.strftime("%a %H:%M UTC").to_string()
        } else {
            "going home   ".to_owned()
        };
        self.0.set_prefix(text);
        self.0
            .set_position(u64::try_from(real - stage.began).unwrap_or(0) / 1_000);
        let (counts, second) = (&standing.counts, &standing.second);
        let ms = |us: u64| us as f64 / 1_000.0;
        self.0.set_message(format!(
            "{} came, {} taken in (p50 {:.0} ms, p99 {:.0} ms), {} turned away, {} answered, {} left\n{} a second, {} waiting, {} talking, {} agents",
            counts.came,
            counts.taken_in,
            ms(standing.start_us.0),
            ms(standing.start_us.1),
            counts.turned_away() + counts.unknown,
            counts.answered,
            counts.abandoned,
            second.acts,
            second.waiting,
            second.talking,
            second.agents,
        ));
    }
}

fn table(report: &Report, paint: Paint) -> String {
    let counts = &report.counts;
    let share = |part: u64, of: u64| match of {
        0 => part.to_string(),
        of => format!("{part} ({:.1} %)", part as f64 * 100.0 / of as f64),
    };
    let figure = |name: &str, value: String| vec![Field::from(name), Field::from(value)];
    let became = vec![
        figure("came", counts.came.to_string()),
        figure("taken in", share(counts.taken_in, counts.came)),
        figure("turned away", share(counts.turned_away(), counts.came)),
        figure("no answer in time", share(counts.unknown, counts.came)),
        figure("answered", share(counts.answered, counts.taken_in)),
        figure("answered on time", share(counts.on_time, counts.answered)),
        figure("left before", share(counts.abandoned, counts.taken_in)),
        figure("put off", share(counts.put_off, counts.taken_in)),
        figure("sessions broken", counts.sessions_broken.to_string()),
    ];
    let mut text = render_table(&["visitors", ""], became, paint);
    let why = counts.refused.iter();
    let why: Vec<Vec<Field>> = why
        .map(|(why, n)| vec![Field::from(why), Field::from(n)])
        .collect();
    if !why.is_empty() {
        text.push_str(&format!(
            "\n\n{}",
            render_table(&["turned away", ""], why, paint)
        ));
    }
    let header: Vec<&str> = ["ms", "times"]
        .into_iter()
        .chain(Rank::ALL.map(|r| r.1))
        .collect();
    let rows = report.acts.iter().map(|(act, took)| {
        let name = format!("{}: {}", act.name(), told(*act));
        let mut row = vec![Field::from(name), Field::from(took.all.0.len())];
        row.extend(Rank::ALL.map(|(rank, _)| Field::from(format!("{:.1}", took.all.at_ms(rank)))));
        row
    });
    text.push_str(&format!(
        "\n\n{}",
        render_table(&header, rows.collect(), paint)
    ));
    if !report.verdicts.is_empty() {
        let rows = report.verdicts.iter().map(|verdict| {
            let measured = verdict.measured();
            let (word, tone) = if verdict.held {
                ("held", Tone::Good)
            } else {
                ("did not hold", Tone::Bad)
            };
            let held = Field(word.to_owned(), tone);
            vec![Field::from(&verdict.threshold), Field::from(measured), held]
        });
        let header = ["must hold", "measured", ""];
        text.push_str(&format!(
            "\n\n{}",
            render_table(&header, rows.collect(), paint)
        ));
    }
    text
}
