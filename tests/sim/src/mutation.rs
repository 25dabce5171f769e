//! Whether the simulation notices what it promises to notice: each deliberate bug in turn, until a day shows it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use meridian_routing::mutants::{ALL, Mutant};

use crate::many::Days;

/// A deliberate bug by its name.
///
/// # Errors
/// There is none of that name.
pub fn named(name: &str) -> Result<Mutant, String> {
    let found = ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
    found.ok_or_else(|| format!("no such bug; there are {ALL:?}"))
}

/// Lives through days, from a seed on, until each bug has shown itself, but through so many at most; tells of each how
/// many it took.
pub fn hunt(first: u64, most: u64, days: &Days) -> ExitCode {
    let mut unseen = Vec::new();
    let mut table = Vec::new();
    for mutant in ALL {
        let days = days.clone().with_mutant(mutant);
        match first_to_fail(first, most, &days) {
            Some((seed, why)) => {
                println!("{mutant:?}: day {} shows it: {why}", seed - first + 1);
                table.push(serde_json::json!({
                    "mutant": format!("{mutant:?}"),
                    "days": seed - first + 1,
                    "shown_by": why,
                }));
            }
            None => {
                println!("{mutant:?}: no day of {most} shows it");
                unseen.push(format!("{mutant:?}"));
            }
        }
    }
    let report = serde_json::json!({ "first": first, "caught": table, "unseen": unseen });
    println!("{report}");
    match unseen.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The first day that fails, and why.
fn first_to_fail(first: u64, most: u64, days: &Days) -> Option<(u64, String)> {
    let next = AtomicU64::new(first);
    // Later seeds need not be tried any more.
    let end = AtomicU64::new(first + most);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let Err(why) = days.live(seed) else { continue };
                    end.fetch_min(seed, Ordering::Relaxed);
                    if let Ok(mut found) = found.lock()
                        && found.as_ref().is_none_or(|(known, _)| seed < *known)
                    {
                        *found = Some((seed, why));
                    }
                }
            });
        }
    });
    found.into_inner().ok().flatten()
}
