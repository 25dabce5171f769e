//! `sim`: a whole cluster in one thread, on a clock, a network and disks that a seed decides.

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use meridian_sim::day::{Plan, Report, live};
use meridian_sim::trace::Trace;
use rand::SeedableRng as _;

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
    /// How many minutes people come and machines fail
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Nothing fails
    #[arg(long)]
    no_faults: bool,
    /// Print what happens; with RUST_LOG what the nodes log, too
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| rand::random::<u64>() >> 32);
    if let Some(count) = options.seeds {
        return many(seed, count, &options);
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

/// Lives through a day a seed, as many at a time as there are processors; tells of each that fails how to see it again.
fn many(first: u64, count: u64, options: &Options) -> ExitCode {
    let Ok(program) = std::env::current_exe() else {
        eprintln!("this program cannot be found again");
        return ExitCode::FAILURE;
    };
    let next = AtomicU64::new(first);
    let (failed, chats, faults) = (Mutex::new(Vec::new()), AtomicU64::new(0), AtomicU64::new(0));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let mut day = Command::new(&program);
            day.args(["--seed", &seed.to_string()]);
            day.args(["--minutes", &options.minutes.to_string()]);
            if options.no_faults {
                day.arg("--no-faults");
            }
            let lived = day.output();
            let report = lived.as_ref().ok().filter(|day| day.status.success());
            let report = report
                .and_then(|day| serde_json::from_slice::<serde_json::Value>(&day.stdout).ok());
            match report {
                Some(report) => {
                    chats.fetch_add(report["chats"].as_u64().unwrap_or(0), Ordering::Relaxed);
                    let kinds = report["faults"].as_object().into_iter().flatten();
                    let count = kinds.filter_map(|(_, n)| n.as_u64()).sum();
                    faults.fetch_add(count, Ordering::Relaxed);
                }
                None => {
                    let why = lived.map(|day| String::from_utf8_lossy(&day.stderr).into_owned());
                    let why = why.unwrap_or_else(|error| error.to_string());
                    let last = why.lines().last().unwrap_or("no word of why").to_owned();
                    eprintln!(
                        "sim --seed {seed} --minutes {} --trace\n  {last}",
                        options.minutes
                    );
                    if let Ok(mut failed) = failed.lock() {
                        failed.push(seed);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "first": first,
            "seeds": count,
            "minutes_each": options.minutes,
            "chats": chats.into_inner(),
            "faults": faults.into_inner(),
            "failed": failed,
        })
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
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
        lasts: Duration::from_secs(60 * options.minutes),
        faults: !options.no_faults,
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
        .enable_all()
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
