//! Many days, each in a process of its own, as many at a time as there are processors.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum as _;
use serde_json::Value;

use crate::plan::Fault;

/// A minute takes a second or so. A day that takes longer than this, in seconds, hangs.
const HANGS_AFTER: f64 = 60.0;
/// And so much longer for each of its minutes.
const HANGS_AFTER_A_MINUTE: f64 = 10.0;

/// Days that differ by their seed alone.
#[derive(Clone, Debug)]
pub struct Days {
    minutes: f64,
    faults: Vec<Fault>,
    /// What else every day is told.
    also: Vec<String>,
}

/// What came of many days.
#[derive(Default)]
struct Sum {
    chats: u64,
    faults: BTreeMap<String, u64>,
    commands: BTreeMap<String, u64>,
    simulated: u64,
    failed: Vec<u64>,
}

impl Days {
    /// Days of so many minutes on which this may fail.
    pub fn new(minutes: f64, faults: Vec<Fault>) -> Self {
        Self {
            minutes,
            faults,
            also: Vec::new(),
        }
    }

    /// The same with a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn with_mutant(mut self, mutant: meridian_routing::mutants::Mutant) -> Self {
        self.also = vec![format!("--mutant={mutant:?}")];
        self
    }

    fn arguments(&self, seed: u64) -> Vec<String> {
        let name = |fault: &Fault| fault.to_possible_value().map(|v| v.get_name().to_owned());
        let faults: Vec<String> = self.faults.iter().filter_map(name).collect();
        let mut arguments = vec![
            format!("--seed={seed}"),
            format!("--minutes={}", self.minutes),
        ];
        if faults.is_empty() {
            arguments.push("--no-faults".to_owned());
        } else if faults.len() < Fault::value_variants().len() {
            arguments.push(format!("--faults={}", faults.join(",")));
        }
        arguments.extend(self.also.iter().cloned());
        arguments
    }

    /// Lives through one of them; what it came to, or why it failed.
    ///
    /// # Errors
    /// What was promised and not kept.
    pub fn live(&self, seed: u64) -> Result<Value, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        // Waiting with a limit is left to another program: in this one, time is what a simulation says.
        let mut day = Command::new("timeout");
        let limit = HANGS_AFTER + HANGS_AFTER_A_MINUTE * self.minutes;
        day.arg(limit.to_string());
        day.arg(program).args(self.arguments(seed));
        let lived = day.output().map_err(|error| error.to_string())?;
        if lived.status.code() == Some(124) {
            return Err("it hangs".to_owned());
        }
        let said = String::from_utf8_lossy(&lived.stderr);
        if !lived.status.success() {
            let last = said.lines().last().unwrap_or("no word of why");
            return Err(last.to_owned());
        }
        serde_json::from_slice(&lived.stdout).map_err(|error| error.to_string())
    }
}

impl Sum {
    fn add(&mut self, day: &Value) {
        self.chats += day["chats"].as_u64().unwrap_or(0);
        self.simulated += day["seconds"].as_u64().unwrap_or(0);
        for (into, from) in [
            (&mut self.faults, &day["faults"]),
            (&mut self.commands, &day["commands"]),
        ] {
            for (name, count) in from.as_object().into_iter().flatten() {
                *into.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
            }
        }
    }
}

/// Lives through so many days from a seed on; tells of each that fails how to see it again.
pub fn live(first: u64, count: u64, days: &Days) -> ExitCode {
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let lived = days.live(seed);
            let Ok(mut sum) = sum.lock() else { return };
            match lived {
                Ok(day) => sum.add(&day),
                Err(why) => {
                    eprintln!("sim {} --trace\n  {why}", days.arguments(seed).join(" "));
                    sum.failed.push(seed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let sum = sum.into_inner().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "first": first,
            "seeds": count,
            "minutes_each": days.minutes,
            "simulated_seconds": sum.simulated,
            "chats": sum.chats,
            "faults": sum.faults,
            "commands": sum.commands,
            "failed": sum.failed,
        })
    );
    match sum.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Looks for the shortest day with the fewest kinds of faults on which a seed still fails.
pub fn shrink(seed: u64, mut days: Days) -> ExitCode {
    let Err(mut why) = days.live(seed) else {
        eprintln!("seed {seed} does not fail");
        return ExitCode::FAILURE;
    };
    let mut try_with = |smaller: Days, days: &mut Days| match smaller.live(seed) {
        Ok(_) => false,
        Err(still) => {
            eprintln!("fails still: {}", smaller.arguments(seed).join(" "));
            (*days, why) = (smaller, still);
            true
        }
    };
    for fault in days.faults.clone() {
        let fewer = days.faults.iter().copied().filter(|f| *f != fault);
        let smaller = Days {
            faults: fewer.collect(),
            ..days.clone()
        };
        try_with(smaller, &mut days);
    }
    while days.minutes > 0.1 {
        let smaller = Days {
            minutes: days.minutes / 1.5,
            ..days.clone()
        };
        if !try_with(smaller, &mut days) {
            break;
        }
    }
    println!("sim {} --trace\n  {why}", days.arguments(seed).join(" "));
    ExitCode::SUCCESS
}
