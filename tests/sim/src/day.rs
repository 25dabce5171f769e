//! A day in the life of a cluster: people come and go while machines fail; then everything is mended, what is open is
//! finished, and what was promised is compared with what is there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meridian_people::ledger::Ledger;
use meridian_people::stage::{Promises, Stage, Turn};
use meridian_people::trace::Trace;
use meridian_people::world::{AGENTS, Day};
use meridian_people::{agents, audit, operator, visitors};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{DAWN_MS, Ground, Machine};
use crate::faults::Fate;
use crate::net::Net;
use crate::plan::{Plan, Report};

/// Lives through a day.
///
/// # Errors
/// What was promised and is not there, or what did not come to rest.
pub async fn live(plan: Plan, dir: &Path, trace: Trace) -> anyhow::Result<Report> {
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let net = Net::new(random.random());
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let least = Duration::from_millis(random.random_range(5..60));
        trace.tell(format!("regions {a} and {b} are {least:?} apart"));
        net.distance(a, b, least, least.mul_f64(1.3));
    }
    let nodes: u64 = if random.random_bool(0.5) { 3 } else { 5 };
    let ledger = Arc::new(Ledger::new(trace.clone()));
    let dawn = Instant::now();
    let day = Day {
        dawn,
        dawn_ms: DAWN_MS,
        begins: dawn,
        lasts: plan.lasts,
        ends: dawn + plan.lasts,
    };
    let ground = Ground {
        net: net.clone(),
        day,
        dir: dir.to_owned(),
        // Slow disks show who answers before the disk does.
        slowest_sync_ms: if random.random_bool(0.3) { 500 } else { 30 },
        ledger: ledger.clone(),
    };
    let mut machines: Vec<Machine> = (1..=nodes)
        .map(|id| {
            let slowest = ground.slowest_sync_ms * 1_000;
            let sync_takes = Duration::from_micros(random.random_range(300..slowest));
            let at = (id, id as usize % 3);
            trace.tell(format!("a sync of node {id} takes {sync_takes:?}"));
            Machine::new(&ground, at, random.random(), sync_takes)
        })
        .collect();
    // A machine that comes back comes back with the newest version.
    let old = random.random_bool(0.5);
    trace.tell(format!("nodes begin as an older version: {old}"));
    for machine in &mut machines {
        if old {
            machine.is_old();
        }
        machine.start().await.context("a node starts")?;
    }
    let members = machines.iter().map(Machine::member).collect();
    operator::form(&net, members).await?;
    let begins = Instant::now();
    let day = Day {
        begins,
        ends: begins + plan.lasts,
        ..day
    };
    let (turn, turns) = watch::channel(Turn::Day);
    let stage = Stage {
        ways: Arc::new(net),
        trace: trace.clone(),
        promises: Arc::new(Mutex::new(Promises::default())),
        ledger: ledger.clone(),
        nodes: Arc::new(Mutex::new((1..=nodes).collect())),
        day,
        turn: turns,
    };
    operator::apply(&stage, "world", &day, random.random_bool(0.5)).await?;
    let mut everybody = Vec::new();
    for number in 0..AGENTS {
        everybody.push(tokio::spawn(agents::agent(
            stage.clone(),
            number,
            random.random(),
        )));
    }
    let every = plan.lasts / random.random_range(20..80);
    let come = visitors::come(stage.clone(), random.random(), every);
    let come = tokio::spawn(come);
    everybody.push(tokio::spawn(visitors::supervisor(
        stage.clone(),
        random.random(),
    )));

    let mix = plan.mix(&mut random);
    trace.tell(format!("what fails: {mix:?}"));
    let mut fate = Fate::new(machines, ground, stage.clone(), random, mix);
    fate.until(day.ends).await?;
    fate.mend().await?;
    turn.send_replace(Turn::Evening);
    come.await.context("a visitor panicked")?;
    audit::finished(&stage).await?;
    turn.send_replace(Turn::Over);
    for person in everybody {
        person.await.context("somebody panicked")?;
    }
    // Who is not ready, or goes by older rules, is not at rest.
    let state = |m: &Machine| m.hash().filter(|_| m.is_ready() && m.goes_by_newest());
    let (index, hash) = loop {
        fate.settle().await?;
        let states = async || fate.machines.iter().map(state).collect();
        match audit::rest(&trace, states).await {
            // It came upon its damage just now.
            Err(_) if fate.has_damaged_ended() => {}
            rest => break rest?,
        }
    };
    audit::kept(&ledger)?;
    audit::judged(&ledger)?;
    let (chats, accepted) = audit::stories(&stage).await?;
    let unknown = stage.promises.lock().unknown;
    Ok(Report {
        seed: plan.seed,
        nodes,
        seconds: day.dawn.elapsed().as_secs(),
        chats,
        unknown,
        accepted,
        faults: fate.failed,
        commands: ledger.kinds(),
        index,
        state: format!("{hash:016x}"),
        trace: format!("{:016x}", trace.hash()),
    })
}
