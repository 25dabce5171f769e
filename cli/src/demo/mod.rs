//! `meridian demo`: a day of chats round the world in about a minute, on a real cluster of processes on this
//! machine, with a region killed at its busiest, and an audit of what everybody was told.

mod audit;
mod chart;
mod day;
mod error;
mod evidence;
mod failover;
mod ledger;
mod live;
mod network;
mod nodes;
mod options;
mod plan;
mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;

use meridian_proto::livechat::v1 as api;
use tempfile::TempDir;

use crate::commands::stop_signal;
use crate::failure::Failure;
use crate::output::{Clock, Format, Output};
use crate::time::now_ms;
use crate::view::Explanation;
use day::Day;
use error::DemoError;
use evidence::Evidence;
use live::Live;
use nodes::Nodes;
pub use options::DemoCommand;
use options::Setting;
use report::Report;

/// Agents sign on before the first visitor comes.
const SIGN_ON_MS: i64 = 6_000;

/// Plays the day.
///
/// # Errors
/// An option is wrong, the cluster cannot be started, the audit found a fault, or a signal ended it.
pub async fn run(output: &Output, command: DemoCommand) -> Result<(), Failure> {
    let mut output = output.clone();
    if command.json {
        output.format = Format::Json;
    }
    let setting = Setting::new(&command)?;
    for warning in &setting.warnings {
        output.note(&output.paint_err.warn(&format!("warning: {warning}")));
    }
    let ground = Ground::new(&command)?;
    let mut nodes = None;
    // Everybody lives on this one thread and leaves the machine to the nodes.
    let everybody = tokio::task::LocalSet::new();
    let played = everybody.run_until(play(&output, &command, &setting, &ground, &mut nodes));
    let ended = tokio::select! {
        played = played => played,
        stopped = stop_signal() => Err(stopped),
    };
    drop(everybody);
    if let Some(nodes) = nodes {
        nodes.stop().await;
    }
    // The logs tell why; who ends the demo by hand has seen enough.
    if matches!(&ended, Err(f) if !matches!(f, Failure::Stopped(_) | Failure::OutputClosed)) {
        ground.keep(&output);
    }
    ended
}

/// Where the nodes keep their data and logs.
struct Ground {
    root: PathBuf,
    // Removed when dropped.
    temporary: Option<TempDir>,
}

impl Ground {
    fn new(command: &DemoCommand) -> Result<Self, DemoError> {
        if let Some(root) = command.keep.clone() {
            std::fs::create_dir_all(&root)
                .map_err(DemoError::io(format!("--keep: {}", root.display())))?;
            return Ok(Self {
                root,
                temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix("meridian-demo-")
            .tempdir()
            .map_err(DemoError::io("a directory for the nodes"))?;
        Ok(Self {
            root: temporary.path().to_owned(),
            temporary: Some(temporary),
        })
    }

    /// Keeps what would be removed.
    fn keep(self, output: &Output) {
        if let Some(temporary) = self.temporary {
            let _ = temporary.keep();
        }
        output.note(&format!(
            "the nodes' data and logs are kept in {}",
            self.root.display()
        ));
    }
}

async fn play(
    output: &Output,
    command: &DemoCommand,
    setting: &Setting,
    ground: &Ground,
    running: &mut Option<Nodes>,
) -> Result<(), Failure> {
    for line in setting.told(command) {
        output.note(&line);
    }
    let laid_out = Nodes::lay_out(
        setting.binary.clone(),
        &ground.root,
        &setting.regions,
        &setting.geography,
        command.seed,
    );
    // Whoever stops the demo stops them, however far it has come.
    let nodes = running.insert(laid_out.await?);
    nodes.start().await?;
    let endpoints: Vec<&str> = nodes.nodes.iter().map(|n| n.client.as_str()).collect();
    output.note(&format!(
        "three nodes run; their data and logs are in {}\nlook on with:  export MERIDIAN_ENDPOINTS={}\n",
        ground.root.display(),
        endpoints.join(",")
    ));
    let stage = setting.plan.stage(now_ms() + SIGN_ON_MS);
    let day = Day {
        plan: &setting.plan,
        stage: &stage,
        regions: &setting.regions,
        seed: command.seed,
        kills: !command.no_kill,
        default_network: command.round_trips.is_empty(),
    };
    day.configure(nodes).await?;
    let live = Live::new(output);
    let (report, evidence) = day.play(nodes, &live).await?;
    let printed = print(output, &report, &evidence, &setting.regions);
    if command.stay {
        output.note("the cluster stays up until Ctrl-C");
        tokio::signal::ctrl_c().await?;
    }
    match report.faults.len() {
        // A reader that went away is no fault, but does not hide one.
        0 => printed,
        1 => Err(Failure::Failed("the audit found 1 fault".to_owned())),
        n => Err(Failure::Failed(format!("the audit found {n} faults"))),
    }
}

fn print(
    output: &Output,
    report: &Report,
    evidence: &Evidence,
    regions: &[String],
) -> Result<(), Failure> {
    output.document(report, || chart::report(report, regions))?;
    let sample = eventful(evidence).filter(|_| output.format == Format::Table && !output.quiet);
    let Some(sample) = sample else {
        return Ok(());
    };
    let story = Explanation::new(sample, false).story(&Clock::system(), output.paint);
    output.text(&format!(
        "\nWhy one chat went where it went, as `meridian chats explain` tells it\n{story}"
    ))
}

/// A chat worth explaining: one that went through much and can still be told on a screen.
fn eventful(evidence: &Evidence) -> Option<api::ExplainChatResponse> {
    let known = evidence.records.values().flatten();
    let answered = known.filter(|r| r.chat.answered_ms > 0);
    let record = answered.max_by_key(|r| {
        let offers = r.events.iter().filter(|e| e.what == "offered").count();
        let lost = r.events.iter().any(|e| e.what == "agent lost");
        let candidates = r.events.iter().flat_map(|e| &e.candidates);
        let rules: BTreeSet<&str> = candidates.map(|c| c.rule.as_str()).collect();
        // A story that fits a screen: few offers, and as many different reasons as can be.
        (offers <= 2, lost, rules.len())
    })?;
    Some(api::ExplainChatResponse {
        chat: Some(record.chat.clone()),
        events: record.events.clone(),
        ..Default::default()
    })
}
