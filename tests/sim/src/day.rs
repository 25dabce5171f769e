//! A day in the life of a cluster: people come and go while machines fail; then everything is mended, what is open is
//! finished, and what was promised is compared with what is there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::*;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::agents;
use crate::cluster::{self, Ground, Machine, client_host, way};
use crate::faults::Fate;
use crate::ledger::Ledger;
use crate::net::{Net, Side};
use crate::people::{self, Promises, Stage, Turn};
use crate::plan::{Plan, Report};
use crate::trace::Trace;
use crate::world::{self, AGENTS, Day};

/// How long everything may take to come to rest once nothing fails any more.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// How long after the last fault a leader may be missing and agents be on their way back.
const BACK_WITHIN: Duration = Duration::from_secs(40);
/// How long one agent needs for one chat in the evening: an offer of the day that is left to lapse, then an offer taken,
/// a talk, and a wrap-up, each a second at most, and the ways between.
const CHAT_TAKES: Duration = Duration::from_secs(12);

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
    let ground = Ground {
        net: net.clone(),
        dawn: Instant::now(),
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
    for machine in &mut machines {
        machine.start().await.context("a node starts")?;
    }
    let side = net.side(client_host(9_999_999), 0);
    cluster::form(&side, &machines).await?;
    let day = Day {
        dawn: ground.dawn,
        begins: Instant::now(),
        lasts: plan.lasts,
    };
    world::apply(&side, &day, random.random_bool(0.5), nodes).await?;

    let (turn, turns) = watch::channel(Turn::Day);
    let stage = Stage {
        net,
        trace: trace.clone(),
        promises: Arc::new(Mutex::new(Promises::default())),
        ledger: ledger.clone(),
        nodes: Arc::new(Mutex::new((1..=nodes).collect())),
        day,
        turn: turns,
    };
    let mut everybody = Vec::new();
    for number in 0..AGENTS {
        everybody.push(tokio::spawn(agents::agent(
            stage.clone(),
            number,
            random.random(),
        )));
    }
    let every = plan.lasts / random.random_range(20..80);
    let come = people::visitors(stage.clone(), random.random(), every);
    let come = tokio::spawn(come);
    everybody.push(tokio::spawn(people::supervisor(
        stage.clone(),
        random.random(),
    )));

    let mix = plan.mix(&mut random);
    trace.tell(format!("what fails: {mix:?}"));
    let mut fate = Fate::new(machines, ground, stage.clone(), random, mix);
    fate.until(day.ends()).await?;
    fate.mend().await?;
    turn.send_replace(Turn::Evening);
    come.await.context("a visitor panicked")?;
    finished(&ledger, &trace).await?;
    turn.send_replace(Turn::Over);
    for person in everybody {
        person.await.context("somebody panicked")?;
    }
    let (index, hash) = rest(&fate.machines, &trace).await?;
    kept(&ledger)?;
    let (chats, accepted) = check(&side, &stage, &fate.machines).await?;
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

/// Whether every promise was kept so far.
fn kept(ledger: &Ledger) -> anyhow::Result<()> {
    match ledger.broken() {
        Some(broken) => bail!(broken),
        None => Ok(()),
    }
}

/// Once nothing fails any more, every open chat is served in a time that its like before it determine.
async fn finished(ledger: &Ledger, trace: &Trace) -> anyhow::Result<()> {
    let open = ledger.open().len();
    let hands: u32 = (0..AGENTS).map(world::capacity).sum();
    // Every language is spoken by a third of all hands at least.
    let rounds = 1 + open as u32 / (hands / 3);
    let within = BACK_WITHIN + CHAT_TAKES * rounds;
    trace.tell(format!(
        "{open} chats are open, to be finished within {within:?}"
    ));
    let began = Instant::now();
    while !ledger.open().is_empty() {
        kept(ledger)?;
        let open = ledger.open();
        ensure!(
            began.elapsed() < within,
            "5: still open after {within:?}: {open:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    trace.tell(format!("finished after {:?}", began.elapsed()));
    Ok(())
}

/// Waits until every node is ready and has the same state.
async fn rest(machines: &[Machine], trace: &Trace) -> anyhow::Result<(u64, u64)> {
    let began = Instant::now();
    let mut same = 0;
    loop {
        let hashes: Vec<_> = machines.iter().map(Machine::hash).collect();
        let ready = machines.iter().all(Machine::is_ready);
        let equal = hashes.windows(2).all(|pair| pair[0] == pair[1]);
        match hashes[0].filter(|_| ready && equal) {
            // Twice in a row, so that nothing was about to come.
            Some(at) if same == 2 => {
                trace.tell(format!("at rest at log index {}", at.0));
                return Ok(at);
            }
            Some(_) => same += 1,
            None => same = 0,
        }
        ensure!(
            began.elapsed() < REST_WITHIN,
            "the cluster does not come to rest: {hashes:?}, ready: {ready}"
        );
        sleep(Duration::from_secs(1)).await;
    }
}

/// Every chat that was taken in is known to every node, and had one owner at a time.
async fn check(side: &Side, stage: &Stage, machines: &[Machine]) -> anyhow::Result<(usize, usize)> {
    let (chats, accepted) = {
        let promises = stage.promises.lock();
        (promises.chats.clone(), promises.accepted.clone())
    };
    for node in machines.iter().map(|m| m.id) {
        let mut supervisor = SupervisorServiceClient::new(way(side, node));
        for (request, chat_id) in &chats {
            let ask = ExplainChatRequest {
                consistency: Consistency::Local.into(),
                chat_id: chat_id.clone(),
                then: None,
            };
            let told = supervisor.explain_chat(ask).await;
            let told = told.with_context(|| format!("node {node} lost {chat_id} of {request}"))?;
            let events = told.into_inner().events;
            one_owner(chat_id, &events).with_context(|| told_of(&events))?;
            for agent in accepted.get(chat_id).into_iter().flatten() {
                let was = |e: &ChatEvent| {
                    e.agent_id == *agent && ["accepted", "handed over"].contains(&e.what.as_str())
                };
                ensure!(
                    events.len() >= 64 || events.iter().any(was),
                    "{agent} was told that {chat_id} is theirs, and node {node} does not know: {}",
                    told_of(&events)
                );
            }
        }
    }
    Ok((chats.len(), accepted.values().map(Vec::len).sum()))
}

/// A chat's story in short.
fn told_of(events: &[ChatEvent]) -> String {
    let short = |e: &ChatEvent| format!("{} {} {}", e.log_index, e.what, e.agent_id);
    events.iter().map(short).collect::<Vec<_>>().join(", ")
}

fn one_owner(chat_id: &str, events: &[ChatEvent]) -> anyhow::Result<()> {
    let mut owner: Option<&str> = None;
    for event in events {
        match event.what.as_str() {
            "accepted" => {
                let by = &event.agent_id;
                ensure!(
                    owner.is_none(),
                    "{by} accepted {chat_id}, which {owner:?} had"
                );
                owner = Some(by);
            }
            // Whoever comes to help takes it from whoever goes.
            "handed over" => owner = Some(&event.agent_id),
            "agent lost" | "transferred" | "ended" | "shift over" | "goes on elsewhere" => {
                owner = None;
            }
            _ => {}
        }
    }
    Ok(())
}
