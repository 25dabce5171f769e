//! `chaos`: five real nodes in three regions, each in a network and on a disk of its own, on which everything fails that
//! may, round after round, while people use them; what they are told is checked against what was decided.

mod fault;
mod ground;
mod packets;
mod process;
mod recovery;
mod report;
mod rounds;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum as _};
use meridian_people::trace::Trace;
use tokio::signal::unix::{SignalKind, signal};

use crate::fault::Fault;
use crate::ground::Kind;
use crate::report::Report;
use crate::rounds::Plan;

/// Where Debian keeps the library that makes clocks wrong.
const CLOCKS: &str = "faketime/libfaketimeMT.so.1";

/// Lets everything fail, and prints a report.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Options {
    /// How many rounds; each lets one thing fail and mends it
    #[arg(long, default_value_t = 500)]
    rounds: u32,
    /// What decides what fails and when; without it, one that was never tried
    #[arg(long)]
    seed: Option<u64>,
    /// What may fail; without it, everything
    #[arg(long, value_delimiter = ',')]
    faults: Option<Vec<Fault>>,
    /// The node's program; without it, the one beside this
    #[arg(long)]
    node: Option<PathBuf>,
    /// Print what happens
    #[arg(long)]
    trace: bool,
    /// Keep the nodes' logs, and what they came to, in a directory that is made for it
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| rand::random::<u64>() >> 32);
    match ground::enter().and_then(|ground| chaos(ground, seed, &options)) {
        Ok(report) => {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprintln!("error: {broken:#} (seed {seed})");
            ExitCode::FAILURE
        }
    }
}

fn chaos(ground: Kind, seed: u64, options: &Options) -> anyhow::Result<Report> {
    let node = match &options.node {
        Some(node) => node.clone(),
        None => std::env::current_exe()?.with_file_name("meridian-node"),
    };
    ensure!(
        node.is_file(),
        "{} is not there: build it with cargo build --locked -p meridian-node, or name it with --node",
        node.display()
    );
    let library = |dir: &str| Path::new(dir).join(CLOCKS);
    let arch = std::env::consts::ARCH;
    let dirs = [format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib".to_owned()];
    let clocks = dirs
        .iter()
        .map(|dir| library(dir))
        .find(|path| path.is_file());
    let clocks = clocks.context("libfaketime is not installed: run make setup")?;
    let temporary;
    let dir = match &options.keep {
        Some(dir) => {
            std::fs::create_dir(dir).with_context(|| dir.display().to_string())?;
            std::path::absolute(dir)?
        }
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path().to_owned()
        }
    };
    let mut faults = match &options.faults {
        Some(faults) => faults.clone(),
        None => Fault::value_variants().to_vec(),
    };
    faults.retain(|fault| fault.is_possible(ground));
    ensure!(!faults.is_empty(), "none of these faults is possible here");
    let plan = Plan {
        ground,
        seed,
        rounds: options.rounds,
        faults,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let gone = runtime.block_on(async {
        let trace = Trace::new(options.trace);
        tokio::select! {
            gone = rounds::go(plan, &dir, (&node, &clocks), trace) => gone,
            stopped = stop_signal() => stopped,
        }
    });
    // Whoever is still asking something may hang on for as long as they like.
    runtime.shutdown_background();
    ground::leave(ground, &dir);
    gone
}

/// Waits for a signal to stop.
async fn stop_signal<T>() -> anyhow::Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    anyhow::bail!("stopped by a signal")
}
