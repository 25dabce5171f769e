//! All of it: people come and go while machines fail, round after round; then everything is mended, what is open is
//! finished, and what was promised is compared with what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use meridian_people::ledger::Ledger;
use meridian_people::stage::{Promises, Stage, Turn};
use meridian_people::trace::Trace;
use meridian_people::world::{AGENTS, Day};
use meridian_people::{agents, audit, operator, visitors};
use meridian_proto::livechat::v1::ClusterStatusResponse;
use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fault::{Fate, Fault};
use crate::ground::{Ground, Kind};
use crate::process::{Common, Machine};
use crate::report::Report;
use crate::watch::Watch;

/// Nodes there are, in three regions.
const NODES: u64 = 5;
/// How long a day takes.
const DAY: Duration = Duration::from_secs(90);
/// A round takes no longer, on the average.
const ROUND: Duration = Duration::from_secs(30);
/// How often a visitor comes.
const VISITOR_EVERY: Duration = Duration::from_secs(4);
/// How often what nodes came to is read, whether anybody was answered or not.
const READ_EVERY: Duration = Duration::from_millis(200);

/// What is to be done.
pub struct Plan {
    /// Where.
    pub ground: Kind,
    /// What decides what fails, and when.
    pub seed: u64,
    /// How many rounds.
    pub rounds: u32,
    /// What may fail.
    pub faults: Vec<Fault>,
}

/// Goes through all rounds.
///
/// # Errors
/// What was promised and is not there, or what did not come to rest.
pub async fn go(
    plan: Plan,
    dir: &Path,
    paths: (&Path, &Path),
    trace: Trace,
) -> anyhow::Result<Report> {
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let began = Instant::now();
    let ground = Ground::new(plan.ground, dir, random.random())?;
    let watch = Arc::new(Watch::default());
    let reader = watch.clone();
    let ledger = Ledger::reading(trace.clone(), Box::new(move || reader.catch_up()));
    let ledger = Arc::new(ledger);
    watch.tells(ledger.clone());
    let common = Common {
        ground: ground.clone(),
        watch: watch.clone(),
        program: paths.0.to_owned(),
        clocks: paths.1.to_owned(),
    };
    let mut machines = Vec::new();
    for id in 1..=NODES {
        let mut machine = Machine::new(&common, id, id as usize % 3)?;
        machine.start()?;
        machines.push(machine);
    }
    let members = machines.iter().map(Machine::member).collect();
    operator::form(&*ground, members).await?;
    trace.tell("the cluster is formed");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let begins = Instant::now();
    let day = Day {
        dawn: begins,
        dawn_ms: i64::try_from(now.as_millis())?,
        begins,
        lasts: DAY,
        ends: begins + ROUND * plan.rounds.max(1),
    };
    let (turn, turns) = watch::channel(Turn::Day);
    let stage = Stage {
        ways: ground.clone(),
        trace: trace.clone(),
        promises: Arc::new(Mutex::new(Promises::default())),
        ledger: ledger.clone(),
        nodes: Arc::new(Mutex::new((1..=NODES).collect())),
        day,
        turn: turns,
    };
    let handover = random.random_bool(0.5);
    operator::apply(&stage, "world", &day, handover).await?;
    let mut everybody = Vec::new();
    for number in 0..AGENTS {
        let agent = agents::agent(stage.clone(), number, random.random());
        everybody.push(tokio::spawn(agent));
    }
    let come = visitors::come(stage.clone(), random.random(), VISITOR_EVERY);
    let come = tokio::spawn(come);
    let looks = visitors::supervisor(stage.clone(), random.random());
    everybody.push(tokio::spawn(looks));
    everybody.push(tokio::spawn(read(stage.clone(), watch.clone())));

    let chance = ChaCha8Rng::seed_from_u64(random.random());
    let mut bag = Vec::new();
    let mut failed = BTreeMap::new();
    let mut fate = Fate::new(machines, common, stage.clone(), chance);
    let bound = fate.bound().await? + ground.round_trip();
    for number in 1..=plan.rounds {
        if bag.is_empty() {
            bag = plan.faults.clone();
            bag.shuffle(&mut random);
        }
        let Some(fault) = bag.pop() else { break };
        let round = fate.round(number, fault).await;
        round.with_context(|| format!("round {number}, {fault:?}"))?;
        *failed.entry(format!("{fault:?}")).or_default() += 1;
    }
    fate.mend().await?;
    fate.settled().await?;
    trace.tell("everything is mended");
    let over = Day {
        ends: Instant::now(),
        ..day
    };
    operator::apply(&stage, "evening", &over, handover).await?;
    turn.send_replace(Turn::Evening);
    come.await.context("a visitor panicked")?;
    watch.catch_up();
    audit::finished(&stage).await?;
    turn.send_replace(Turn::Over);
    for person in everybody {
        person.await.context("somebody panicked")?;
    }
    let state = |status: Option<ClusterStatusResponse>| {
        status.map(|told| (told.applied_index, told.state_hash))
    };
    let states = async || fate.statuses().await.into_iter().map(state).collect();
    let (index, hash) = audit::rest(&trace, states).await?;
    watch.catch_up();
    audit::kept(&ledger)?;
    audit::judged(&ledger)?;
    let (chats, accepted) = audit::stories(&stage).await?;
    let unknown = stage.promises.lock().unknown;
    Ok(Report {
        ground: plan.ground,
        seed: plan.seed,
        rounds: plan.rounds,
        seconds: began.elapsed().as_secs(),
        chats,
        unknown,
        accepted,
        faults: failed,
        damaged_refused: fate.refused,
        damaged_unharmed: fate.unharmed,
        commands: ledger.kinds(),
        round_trip_ms: ground.round_trip().as_millis(),
        bound_ms: bound.as_millis(),
        recovery: fate.recoveries.figures(bound),
        index,
        state: format!("{hash:016x}"),
    })
}

/// Reads what nodes come to, until everything is over.
async fn read(stage: Stage, watch: Arc<Watch>) {
    while !stage.rests(READ_EVERY, Turn::Over).await {
        watch.catch_up();
    }
}
