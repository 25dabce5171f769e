//! The `meridian-node` binary.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use meridian_node::env::Environment;
use meridian_node::node::Node;
use meridian_node::offline::Offline;
use meridian_node::settings::Settings;
use meridian_node::telemetry::Telemetry;
use tokio::signal::unix::{SignalKind, signal};

/// How long work in hand may take to end after everything else has.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let asked = std::env::args().nth(1).unwrap_or_default();
    let done = if Offline::NAMES.contains(&asked.as_str()) {
        offline(Offline::parse())
    } else {
        start(&Settings::parse())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // One line for the operator; a backtrace would hide what to do.
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn offline(task: Offline) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime did not start")?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = task.carry_out(Environment::real()) => Ok(done?),
            stopped = stopped() => stopped.and_then(|()| Err(anyhow!("stopped by a signal"))),
        }
    });
    // What is cut short goes no further, as by any other end.
    runtime.shutdown_background();
    println!("{}", done?);
    Ok(())
}

/// Waits until somebody asks this process to stop.
async fn stopped() -> anyhow::Result<()> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

fn start(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    let ran = runtime.block_on(run(settings));
    // A backup or an examination that nobody waits for any more keeps nobody up.
    runtime.shutdown_timeout(STOPS_WITHIN);
    ran
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let telemetry = Telemetry {
        json: settings.log_json,
        otlp: settings.otlp.clone(),
        node_id: settings.node_id,
        region: settings.region.clone(),
    };
    let telemetry = telemetry.start().map_err(|e| anyhow!("telemetry: {e}"))?;
    let node = Node::start(settings, Environment::real()).await?;
    let failure = tokio::select! {
        asked = stopped() => {
            asked?;
            None
        }
        why = node.failed() => Some(why),
    };
    if let Some(why) = &failure {
        tracing::error!(why, "this node cannot go on");
    }
    tracing::info!("stopping");
    node.stop().await;
    telemetry.stop();
    match failure {
        None => Ok(()),
        Some(why) => Err(anyhow!("the node stopped by itself: {why}")),
    }
}
