//! `meridian demo`: a day of chats round the world in about a minute, on a real cluster of processes on this
//! machine, with a region killed at its busiest, and an audit of every accepted chat.

mod chart;
mod nodes;
mod people;
mod plan;
mod score;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_wan::Geography;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Code;

use crate::failure::Failure;
use crate::output::{Clock, Format, Output};
use crate::view::Explanation;
use nodes::Nodes;
use people::Ways;
use plan::{Plan, Stage};
use score::{Failure as Killed, Fate, Report, Score, wall};

/// How long chats under way may take to end once the day is over.
const DRAIN: Duration = Duration::from_secs(40);
/// How long a killed region stays away.
const AWAY: Duration = Duration::from_secs(8);

/// Arguments of `meridian demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoCommand {
    /// Repeats the same people, arrivals and jitter
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Agents in the organisation
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(30..=5000))]
    agents: u32,
    /// Chats in the day
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    chats: u64,
    /// How long the day takes, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    seconds: u64,
    /// The day played
    #[arg(long, default_value = "2026-11-24")]
    date: Date,
    /// Round trip between two regions in ms, as ONE-OTHER=MS; repeat it to change more
    #[arg(long = "rtt", value_name = "ONE-OTHER=MS", value_parser = round_trip)]
    round_trips: Vec<(String, String, u64)>,
    /// Kill nothing
    #[arg(long)]
    no_kill: bool,
    /// Keep the nodes' data and logs here
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The node's program; by default the one beside this one
    #[arg(long, env = "MERIDIAN_NODE_BINARY", value_name = "FILE")]
    node_binary: Option<PathBuf>,
    /// Print the report as JSON, as `-o json` does
    #[arg(long)]
    json: bool,
    /// When the day is over, keep the cluster up until Ctrl-C, to look round with the other commands
    #[arg(long)]
    stay: bool,
}

fn round_trip(text: &str) -> Result<(String, String, u64), String> {
    let parsed = text.split_once('=').and_then(|(pair, ms)| {
        let (one, other) = pair.split_once('-')?;
        Some((
            one.to_owned(),
            other.to_owned(),
            ms.parse().ok().filter(|ms| *ms <= 1_000)?,
        ))
    });
    parsed.ok_or_else(|| {
        format!("'{text}' is not ONE-OTHER=MS with at most 1000 ms, such as eu-us=80")
    })
}

/// Plays the day.
///
/// # Errors
/// The cluster cannot be started, or the audit found a fault.
pub async fn run(output: &Output, command: DemoCommand) -> Result<(), Failure> {
    // Everybody lives on this one thread and leaves the machine to the nodes.
    tokio::task::LocalSet::new()
        .run_until(demo(output, command))
        .await
}

async fn demo(output: &Output, command: DemoCommand) -> Result<(), Failure> {
    let json = command.json || output.format != Format::Table;
    let failed = |what: String| Failure::Failed(what);
    let dir = match &command.keep {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| failed(format!("{}: {e}", dir.display())))?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|e| failed(e.to_string()))?),
    };
    let root = command
        .keep
        .clone()
        .or_else(|| dir.as_ref().map(|d| d.path().to_owned()))
        .unwrap_or_default();
    let say = |text: &str| {
        if !json {
            println!("{text}");
        }
    };
    let midnight = command.date.to_datetime(jiff::civil::Time::midnight());
    let day = TimeZone::UTC
        .to_timestamp(midnight)
        .map_err(|e| failed(e.to_string()))?
        .as_millisecond();
    let plan = Plan::make(
        command.seed,
        command.agents,
        command.chats,
        day,
        command.seconds as i64 * 1000,
    )
    .map_err(failed)?;
    let regions: Vec<String> = plan
        .organisation
        .regions
        .iter()
        .map(|r| r.id.to_string())
        .collect();
    let mut geography = Geography::default();
    for (one, other, ms) in &command.round_trips {
        geography = geography.with(one, other, Duration::from_millis(*ms));
    }
    say(&format!(
        "{}: {} agents in {} regions, {} chats on {}, seed {}",
        plan.organisation.workspace.name,
        command.agents,
        regions.len(),
        command.chats,
        command.date,
        command.seed
    ));
    for (i, one) in regions.iter().enumerate() {
        for other in &regions[i + 1..] {
            let rtt = geography
                .round_trip(one, other)
                .map_err(|e| failed(e.to_string()))?;
            say(&format!(
                "  {one} to {other} and back: {} ms",
                rtt.as_millis()
            ));
        }
    }
    let binary = command
        .node_binary
        .clone()
        .map_or_else(beside, Ok)
        .map_err(failed)?;
    let mut nodes = Nodes::start(binary, &root, &regions, &geography, command.seed)
        .await
        .map_err(failed)?;
    say(&format!(
        "three nodes run; their data and logs are in {}",
        root.display()
    ));
    let endpoints: Vec<&str> = nodes.nodes.iter().map(|n| n.client.as_str()).collect();
    say(&format!(
        "look on with:  export MERIDIAN_ENDPOINTS={}\n",
        endpoints.join(",")
    ));

    // Agents sign on before the first visitor comes.
    let stage = plan.stage(wall() + 6_000);
    configure(&nodes, plan.configuration(&stage))
        .await
        .map_err(failed)?;
    let (report, story) = play(&plan, &stage, &mut nodes, &regions, &command, json)
        .await
        .map_err(failed)?;

    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).map_err(|e| failed(e.to_string()))?
        );
    } else {
        print!("{}", chart::report(&report, &regions));
        if let Some(story) = story {
            say("
Why one chat went where it went, as `meridian chats explain` tells it");
            let story = Explanation::from(story);
            print!("{}", story.story(&Clock::system(), output.paint));
        }
    }
    if command.stay {
        eprintln!("the cluster stays up until Ctrl-C");
        // Without a signal handler Ctrl-C ends the process all the same.
        let _ = tokio::signal::ctrl_c().await;
    }
    if report.faults.is_empty() {
        return Ok(());
    }
    if let Some(dir) = dir {
        let kept = dir.keep();
        eprintln!("the nodes' data and logs are kept in {}", kept.display());
    }
    Err(failed(format!(
        "the audit found {} faults",
        report.faults.len()
    )))
}

/// The node's program beside this one.
fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    Ok(own.with_file_name("meridian-node"))
}

async fn configure(nodes: &Nodes, put: api::Configuration) -> Result<(), String> {
    let request = api::ApplyRequest {
        request_id: "demo-world".into(),
        actor: "demo".into(),
        put: Some(put),
        ..Default::default()
    };
    let mut admin =
        AdminServiceClient::new(nodes.nodes[0].channel(0)).max_encoding_message_size(32 << 20);
    admin
        .apply(request)
        .await
        .map(drop)
        .map_err(|s| format!("the organisation was refused: {}", s.message()))
}

/// Nearest node first, then the others.
fn ways(nodes: &Nodes, region: &str, number: usize) -> Ways {
    let (near, far): (Vec<_>, Vec<_>) = nodes.nodes.iter().partition(|n| n.region == region);
    Ways(
        near.into_iter()
            .chain(far)
            .map(|n| n.channel(number))
            .collect(),
    )
}

async fn play(
    plan: &Plan,
    stage: &Stage,
    nodes: &mut Nodes,
    regions: &[String],
    command: &DemoCommand,
    quiet: bool,
) -> Result<(Report, Option<api::ExplainChatResponse>), String> {
    let speakers = plan.organisation.agents.iter().map(|a| {
        (
            a.id.clone(),
            (
                a.region.to_string(),
                a.languages.iter().map(|l| l.language.clone()).collect(),
            ),
        )
    });
    let score = Arc::new(Score::new(speakers.collect()));
    let (now, wall_now) = (Instant::now(), wall());
    let at = |real: i64| now + Duration::from_millis(u64::try_from(real - wall_now).unwrap_or(0));
    let over = at(stage.ends());
    let end = over + DRAIN;

    let mut people = JoinSet::new();
    for (number, agent) in plan.organisation.agents.iter().enumerate() {
        let spans = agent
            .schedule
            .as_deref()
            .map(|s| plan.spans(s, stage))
            .unwrap_or_default();
        let shifts = spans
            .iter()
            .filter(|s| s.to_ms > wall_now)
            .map(|s| (at(s.from_ms), at(s.to_ms)))
            .collect();
        people.spawn_local(people::agent(
            number,
            agent.id.clone(),
            shifts,
            ways(nodes, agent.region.as_str(), number),
            end,
            score.clone(),
        ));
    }
    let mut visitors = JoinSet::new();
    for (number, arrival) in plan.arrivals.iter().cloned().enumerate() {
        let (come, ways, score) = (
            at(stage.real(arrival.at_ms)),
            ways(nodes, arrival.region.as_str(), number),
            score.clone(),
        );
        visitors.spawn_local(async move {
            sleep_until(come).await;
            people::visitor(number, arrival, ways, end, score).await;
        });
    }

    let live = chart::Live::new(quiet);
    let story = tell(&live, stage, &score, regions, over);
    let killing = async {
        if command.no_kill {
            return Ok(None);
        }
        let (region, slot) = plan.busiest();
        kill(nodes, &region, at(stage.real(slot)), &live)
            .await
            .map(Some)
    };
    let (killed, ()) = tokio::join!(killing, story);
    let killed = killed?;

    // Talks go on past midnight; nobody new comes.
    while score.unsettled() > 0 && Instant::now() < end {
        live.show(
            stage,
            &score,
            regions,
            "the day is over, talks come to their end",
        );
        sleep(Duration::from_millis(200)).await;
    }
    visitors.abort_all();
    people.abort_all();
    live.done();
    let (fates, totals) = audit(nodes, &score).await?;
    Ok((
        score.report(command.seed, stage, &fates, totals, killed),
        eventful(&fates),
    ))
}

/// Shows the day as it goes.
async fn tell(live: &chart::Live, stage: &Stage, score: &Score, regions: &[String], over: Instant) {
    while Instant::now() < over {
        live.show(stage, score, regions, "");
        sleep(Duration::from_millis(250)).await;
    }
}

/// Makes the region lead, kills it, times the first new commit, and brings it back.
async fn kill(
    nodes: &mut Nodes,
    region: &str,
    at: Instant,
    live: &chart::Live,
) -> Result<Killed, String> {
    let i = nodes
        .nodes
        .iter()
        .position(|n| n.region == region)
        .ok_or_else(|| format!("no node stands in {region}"))?;
    let victim = nodes.nodes[i].id;
    let survivor = (i + 1) % nodes.nodes.len();
    // Leadership follows the load, so the busiest region leads when it is lost: the worst case.
    sleep_until(at - Duration::from_secs(3)).await;
    if nodes.leader().await != Some(victim) {
        let mut admin = AdminServiceClient::new(nodes.nodes[survivor].channel(0));
        if let Err(status) = admin
            .transfer_leader(api::TransferLeaderRequest { node_id: victim })
            .await
        {
            live.note(&format!(
                "leadership was not handed to {region}: {}",
                status.message()
            ));
        }
    }
    sleep_until(at).await;
    let led = nodes.leader().await == Some(victim);
    nodes.kill(i)?;
    let killed = Instant::now();
    live.note(&format!(
        "{region} is killed (SIGKILL){}",
        if led { "; it led the cluster" } else { "" }
    ));
    // A command that is committed though it changes nothing: leaving a chat that does not exist.
    let mut probe = VisitorServiceClient::new(nodes.nodes[survivor].channel(1));
    loop {
        let leave = api::LeaveChatRequest {
            request_id: "demo-probe".into(),
            chat_id: "none".into(),
        };
        match tokio::time::timeout(Duration::from_secs(20), probe.leave_chat(leave)).await {
            Ok(Err(status)) if status.code() == Code::NotFound => break,
            _ if killed.elapsed() > Duration::from_secs(60) => {
                return Err("no commit within a minute of the kill".into());
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
    let failover_ms = killed.elapsed().as_millis() as u64;
    live.note(&format!("first new commit {failover_ms} ms after the kill"));
    sleep_until(killed + AWAY).await;
    nodes.launch(i)?;
    let began = Instant::now();
    live.note(&format!("{region} starts again"));
    nodes
        .until(
            "the killed node to catch up",
            Duration::from_secs(60),
            async |nodes| {
                let (Some(back), Some(other)) = (
                    nodes.nodes[i].status().await,
                    nodes.nodes[survivor].status().await,
                ) else {
                    return false;
                };
                back.leader_id != 0 && back.applied_index + 20 >= other.applied_index
            },
        )
        .await?;
    let back_ms = began.elapsed().as_millis() as u64;
    live.note(&format!("{region} has caught up after {back_ms} ms"));
    Ok(Killed {
        region: region.to_owned(),
        led,
        failover_ms,
        back_ms,
    })
}

/// Asks the cluster for every accepted chat, and every node for the hash of its state.
async fn audit(
    nodes: &Nodes,
    score: &Score,
) -> Result<(BTreeMap<String, Fate>, Result<(), String>), String> {
    let mut supervisor = SupervisorServiceClient::new(nodes.nodes[0].channel(0));
    let mut fates = BTreeMap::new();
    // Once is enough for all: later reads of the same node are no older.
    let mut consistency = api::Consistency::Linearizable;
    for id in score.accepted_ids() {
        let ask = api::ExplainChatRequest {
            consistency: consistency.into(),
            chat_id: id.clone(),
        };
        consistency = api::Consistency::Local;
        let fate = match supervisor.explain_chat(ask).await {
            Ok(told) => {
                let told = told.into_inner();
                told.chat
                    .map_or(Fate::Lost, |chat| Fate::Known(Box::new(chat), told.events))
            }
            Err(status) if status.code() == Code::NotFound => Fate::Lost,
            Err(status) => {
                return Err(format!(
                    "the audit could not ask for chat {id}: {}",
                    status.message()
                ));
            }
        };
        fates.insert(id, fate);
    }
    Ok((fates, same_state(nodes).await))
}

/// Replicas that stand at the same index must have the same state.
async fn same_state(nodes: &Nodes) -> Result<(), String> {
    for _ in 0..200 {
        let mut seen = BTreeMap::new();
        for node in &nodes.nodes {
            let status = node
                .status()
                .await
                .ok_or_else(|| format!("node {} does not answer at the end", node.id))?;
            seen.insert(node.id, (status.applied_index, status.state_hash));
        }
        let first = seen.values().next().copied().unwrap_or_default();
        if seen.values().all(|s| s.0 == first.0) {
            let same = seen.values().all(|s| *s == first);
            return if same {
                Ok(())
            } else {
                Err(format!(
                    "replicas differ at log index {}: {seen:?}",
                    first.0
                ))
            };
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("the replicas never came to the same index".into())
}

/// A chat worth explaining: one that went through the most.
fn eventful(fates: &BTreeMap<String, Fate>) -> Option<api::ExplainChatResponse> {
    let known = fates.values().filter_map(|fate| match fate {
        Fate::Known(chat, events) if chat.answered_ms > 0 => Some((chat, events)),
        _ => None,
    });
    let (chat, events) = known.max_by_key(|(_, events)| {
        let lost = events.iter().any(|e| e.what == "agent lost");
        let weighed: usize = events.iter().map(|e| e.candidates.len()).sum();
        (lost, weighed)
    })?;
    Some(api::ExplainChatResponse {
        chat: Some((**chat).clone()),
        events: events.clone(),
        ..Default::default()
    })
}
