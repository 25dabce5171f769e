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
use rustix::process::{Resource, Rlimit};
use tokio::signal::unix::{SignalKind, signal};

/// How long work in hand may take to end after everything else has.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let asked = std::env::args().nth(1).unwrap_or_default();
    let done = if Offline::NAMES.contains(&asked.as_str()) {
        offline(Offline::parse())
    } else {
        let mut settings = Settings::parse();
        files(&mut settings).and_then(|()| start(&settings))
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

/// What the database and the other nodes need of file descriptors.
const OTHER_FILES: usize = 1_024;

/// As many files as the system lets this process open, and no more connections than fit.
fn files(settings: &mut Settings) -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let files = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(files) = files else { return Ok(()) };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let fit = files.saturating_sub(OTHER_FILES);
    if fit < 2 {
        return Err(anyhow!(
            "{files} open files are too few; give the process more than {OTHER_FILES} (ulimit -n, LimitNOFILE)"
        ));
    }
    if settings.connections_max > fit {
        eprintln!(
            "note: {fit} connections at most instead of {}, since {files} files may be open (ulimit -n, LimitNOFILE)",
            settings.connections_max
        );
        settings.connections_max = fit;
    }
    Ok(())
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
