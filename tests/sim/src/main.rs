//! `sim`: a whole cluster in one thread, on a clock, a network and disks that a seed decides.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum as _};
use meridian_people::trace::Trace;
use meridian_sim::day::live;
use meridian_sim::many::{self, Days};
use meridian_sim::plan::{Fault, Plan, Report};
use rand::SeedableRng as _;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives through one simulated day; the same seed tells the same story, byte for byte.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Options {
    /// What decides everything; without it, or with --seeds, one that was never tried
    #[arg(long)]
    seed: Option<u64>,
    /// So many seeds, from that one on, each in a process of its own
    #[arg(long, conflicts_with = "trace")]
    seeds: Option<u64>,
    /// How many minutes the day takes, from the first shift to the last
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// What may fail; without it, everything
    #[arg(long, value_delimiter = ',', conflicts_with = "no_faults")]
    faults: Option<Vec<Fault>>,
    /// Nothing fails
    #[arg(long)]
    no_faults: bool,
    /// Print what happens; with RUST_LOG what the nodes log, too
    #[arg(long)]
    trace: bool,
    /// Look for the shortest day with the fewest kinds of faults on which this seed still fails
    #[arg(long, requires = "seed", conflicts_with_all = ["trace", "seeds"])]
    shrink: bool,
    /// Choose a deliberate bug by its name
    #[cfg(feature = "mutants")]
    #[arg(long, value_parser = meridian_sim::mutation::named)]
    mutant: Option<meridian_routing::mutants::Mutant>,
    /// Look for the first seed that shows each deliberate bug, among so many at most
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["trace", "seeds", "shrink", "mutant"])]
    mutants: Option<u64>,
}

impl Options {
    fn faults(&self) -> Vec<Fault> {
        match &self.faults {
            _ if self.no_faults => Vec::new(),
            Some(faults) => faults.clone(),
            None => Fault::value_variants().to_vec(),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| rand::random::<u64>() >> 32);
    let days = || Days::new(options.minutes, options.faults());
    #[cfg(feature = "mutants")]
    if let Some(most) = options.mutants {
        return meridian_sim::mutation::hunt(seed, most, &days());
    }
    #[cfg(feature = "mutants")]
    if let Some(mutant) = options.mutant {
        meridian_routing::mutants::choose(mutant);
    }
    if options.shrink {
        return many::shrink(seed, days());
    }
    if let Some(count) = options.seeds {
        return many::live(seed, count, &days());
    }
    // Before anything asks for chance: the order of maps and of what is ready at once hangs on it.
    mad_turmoil::rand::set_rng(rand::rngs::StdRng::seed_from_u64(seed));
    // Maps take their chance once a thread, so the day has a thread of its own.
    let (ends, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(ends.send(day(seed, &options))));
    match ended.recv() {
        Ok(Ok(report)) => {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Ok(Err(broken)) => {
            eprintln!("{broken:#}");
            ExitCode::FAILURE
        }
        // It panicked, and has said why.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Milliseconds since the day began.
struct Simulated;

impl tracing_subscriber::fmt::time::FormatTime for Simulated {
    fn format_time(&self, out: &mut tracing_subscriber::fmt::format::Writer) -> std::fmt::Result {
        let began = BEGAN.get_or_init(tokio::time::Instant::now);
        write!(out, "{:>9}", began.elapsed().as_millis())
    }
}

static BEGAN: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();

fn day(seed: u64, options: &Options) -> anyhow::Result<Report> {
    let plan = Plan {
        seed,
        lasts: Duration::from_secs_f64(60.0 * options.minutes),
        faults: options.faults().into_iter().collect(),
    };
    if options.trace && std::env::var_os("RUST_LOG").is_some() {
        // What the nodes log, with the simulated time.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(Simulated);
        log.with_writer(std::io::stderr).init();
    }
    let memory = std::path::Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory)?,
        false => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        // Nothing here waits for a socket.
        .enable_time()
        .start_paused(true)
        .build()?;
    let lived = runtime.block_on(async {
        let trace = Trace::new(options.trace);
        live(plan, dir.path(), trace).await
    });
    // What is left of the nodes may hang on for as long as it likes.
    runtime.shutdown_background();
    lived.map_err(|broken| broken.context(format!("seed {seed}, {} minutes", options.minutes)))
}
