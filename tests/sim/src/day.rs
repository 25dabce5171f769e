//! A day in the life of a cluster: people come and go while machines fail; then everything is mended, and what was
//! promised is compared with what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::*;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{self, Machine, client_host, region_name, way};
use crate::net::{Net, Side};
use crate::people::{self, Promises, Stage};
use crate::trace::Trace;

const LANGUAGES: [&str; 3] = ["en", "pt-BR", "de"];
const AGENTS: u64 = 9;
/// How long everything may take to come to rest once nothing fails any more.
const REST_WITHIN: Duration = Duration::from_secs(300);

/// What a seed decides.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How long people come and machines fail.
    pub lasts: Duration,
    /// Whether machines fail at all.
    pub faults: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: u64,
    /// Simulated seconds.
    pub seconds: u64,
    /// Chats taken in.
    pub chats: usize,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
    /// Times an agent was told that a chat is theirs.
    pub accepted: usize,
    /// What failed, by kind.
    pub faults: BTreeMap<&'static str, u32>,
    /// Log index at the end.
    pub index: u64,
    /// Hash of the state, the same on every node.
    pub state: String,
    /// Hash of everything that was told, in order.
    pub trace: String,
}

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
    // Slow disks show who answers before the disk does.
    let slowest_sync_ms = if random.random_bool(0.3) { 500 } else { 30 };
    let mut machines: Vec<Machine> = (1..=nodes)
        .map(|id| {
            let sync_takes =
                Duration::from_micros(random.random_range(300..slowest_sync_ms * 1_000));
            let at = (id, id as usize % 3);
            trace.tell(format!(
                "node {id} has a disk that takes {sync_takes:?} for a sync"
            ));
            Machine::new(
                &net,
                dir,
                at,
                random.random(),
                (sync_takes, slowest_sync_ms),
            )
        })
        .collect();
    for machine in &mut machines {
        machine.start().await.context("a node starts")?;
    }
    let side = net.side(client_host(9_999_999), 0);
    cluster::form(&side, &machines).await?;
    apply(&side, nodes).await?;

    let (over, ends) = watch::channel(false);
    let stage = Stage {
        net: net.clone(),
        trace: trace.clone(),
        promises: Arc::new(Mutex::new(Promises::default())),
        nodes,
        over: ends,
    };
    let mut people = Vec::new();
    for number in 0..AGENTS {
        let agent = people::agent(stage.clone(), number, format!("a{number}"), random.random());
        people.push(tokio::spawn(agent));
    }
    let every = Duration::from_secs(8);
    let visitors = people::visitors(stage.clone(), random.random(), &LANGUAGES, every);
    people.push(tokio::spawn(visitors));

    let began = Instant::now();
    let mut faults = BTreeMap::new();
    while began.elapsed() < plan.lasts {
        sleep(Duration::from_millis(random.random_range(2_000..60_000))).await;
        if plan.faults {
            let kind = fail(&net, &mut machines, &mut random, &trace).await?;
            *faults.entry(kind).or_default() += 1;
        }
    }
    mend(&net, &mut machines, &trace).await?;
    over.send_replace(true);
    for person in people {
        person.await.context("somebody panicked")?;
    }
    let (index, hash) = rest(&machines, &trace).await?;
    let (chats, accepted) = check(&side, &stage, nodes).await?;
    let unknown = stage.promises.lock().unknown;
    Ok(Report {
        seed: plan.seed,
        nodes,
        seconds: began.elapsed().as_secs(),
        chats,
        unknown,
        accepted,
        faults,
        index,
        state: format!("{hash:016x}"),
        trace: format!("{:016x}", trace.hash()),
    })
}

/// The world: three regions that never sleep, one queue, agents who speak a language or two.
async fn apply(side: &Side, nodes: u64) -> anyhow::Result<()> {
    let region = |n| Region {
        id: region_name(n),
        zone: "Etc/UTC".to_owned(),
        schedule: "always".to_owned(),
        ..Default::default()
    };
    let agent = |n: u64| Agent {
        id: format!("a{n}"),
        name: format!("a{n}"),
        region: region_name(n as usize),
        languages: [n, n + n / 3]
            .into_iter()
            .map(|at| LANGUAGES[at as usize % 3])
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|language| SpokenLanguage {
                language: language.to_owned(),
                level: LanguageLevel::Native.into(),
            })
            .collect(),
        queues: vec!["q".to_owned()],
        capacity: 1 + n as u32 % 2,
        ..Default::default()
    };
    let put = Configuration {
        workspace: Some(Workspace {
            name: "sim".to_owned(),
            ..Default::default()
        }),
        schedules: vec![Schedule {
            id: "always".to_owned(),
            zone: "Etc/UTC".to_owned(),
            spans: vec![UtcSpan {
                from_ms: 0,
                to_ms: 1 << 47,
            }],
            ..Default::default()
        }],
        regions: (0..3).map(region).collect(),
        queues: vec![Queue {
            id: "q".to_owned(),
            offer_timeout_ms: 15_000,
            wrap_up_ms: 20_000,
            ..Default::default()
        }],
        agents: (0..AGENTS).map(agent).collect(),
    };
    let ask = ApplyRequest {
        request_id: "world".to_owned(),
        put: Some(put),
        ..Default::default()
    };
    let mut last = "no node answered".to_owned();
    for attempt in 0..100 {
        let mut admin = AdminServiceClient::new(way(side, 1 + attempt % nodes));
        match timeout(Duration::from_secs(10), admin.apply(ask.clone())).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
                bail!("the world is refused: {}", status.message())
            }
            Ok(Err(status)) => last = status.to_string(),
            Err(_) => {}
        }
        sleep(Duration::from_millis(300)).await;
    }
    bail!("the world cannot be applied: {last}")
}

/// Lets one thing fail, or mends one. Most of the time a majority lives and can talk.
async fn fail(
    net: &Net,
    machines: &mut [Machine],
    random: &mut ChaCha8Rng,
    trace: &Trace,
) -> anyhow::Result<&'static str> {
    let count = machines.len();
    let one = random.random_range(0..count);
    let id = machines[one].id;
    let dead = machines.iter().filter(|m| !m.runs()).count();
    match random.random_range(0..12) {
        10 => {
            caught_writing(&machines[one], random).await;
            trace.tell("every node loses its power");
            for machine in machines.iter_mut() {
                machine.crash(true);
            }
            sleep(Duration::from_millis(random.random_range(100..10_000))).await;
            trace.tell("the power is back");
            for machine in machines.iter_mut() {
                machine.start().await.context("a node comes back")?;
            }
            Ok("all lost power")
        }
        0..=3 if !machines[one].runs() => {
            trace.tell(format!("node {id} comes back"));
            machines[one].start().await.context("a node comes back")?;
            Ok("came back")
        }
        0..=3 if dead < count / 2 => {
            let power = random.random_bool(0.5);
            let what = if power {
                "loses its power"
            } else {
                "is killed"
            };
            caught_writing(&machines[one], random).await;
            trace.tell(format!("node {id} {what}"));
            machines[one].crash(power);
            Ok(if power { "lost power" } else { "killed" })
        }
        4..=5 => {
            let both = random.random_bool(0.6);
            trace.tell(format!("node {id} is cut off, both ways: {both}"));
            for other in machines.iter().filter(|m| m.id != id) {
                net.cut(id, other.id);
                if both {
                    net.cut(other.id, id);
                }
            }
            Ok("cut off")
        }
        11 => {
            let by = Duration::from_millis(random.random_range(20..1_500));
            trace.tell(format!("a sync of node {id} takes {by:?} longer"));
            machines[one].set_disk_slower(by);
            Ok("disk slow")
        }
        6 => {
            let wrong = random.random_range(-3_000..3_000);
            trace.tell(format!("the clock of node {id} is wrong by {wrong} ms"));
            machines[one].set_clock_wrong(wrong);
            Ok("clock set wrong")
        }
        _ => {
            trace.tell("the network is whole, and disks are as fast as they can be");
            net.mend();
            machines
                .iter()
                .for_each(|m| m.set_disk_slower(Duration::ZERO));
            Ok("mended")
        }
    }
}

/// The worst moment to fail: in the middle of a write, or a little later, when some have answered for it.
async fn caught_writing(machine: &Machine, random: &mut ChaCha8Rng) {
    machine.caught_writing().await;
    sleep(Duration::from_millis(random.random_range(0..400))).await;
}

async fn mend(net: &Net, machines: &mut [Machine], trace: &Trace) -> anyhow::Result<()> {
    trace.tell("everything is mended");
    net.mend();
    for machine in machines {
        machine.set_clock_wrong(0);
        machine.set_disk_slower(Duration::ZERO);
        if !machine.runs() {
            machine.start().await.context("a node comes back")?;
        }
    }
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
        for (a, b) in hashes.iter().flatten().zip(hashes.iter().skip(1).flatten()) {
            ensure!(
                a.0 != b.0 || a.1 == b.1,
                "two nodes differ at index {}",
                a.0
            );
        }
        ensure!(
            began.elapsed() < REST_WITHIN,
            "the cluster does not come to rest: {hashes:?}, ready: {ready}"
        );
        sleep(Duration::from_secs(2)).await;
    }
}

/// Every chat that was taken in is known to every node, and had one owner at a time.
async fn check(side: &Side, stage: &Stage, nodes: u64) -> anyhow::Result<(usize, usize)> {
    let (chats, accepted) = {
        let promises = stage.promises.lock();
        (promises.chats.clone(), promises.accepted.clone())
    };
    for node in 1..=nodes {
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
            one_owner(chat_id, &events)?;
            for agent in accepted.get(chat_id).into_iter().flatten() {
                let was = |e: &ChatEvent| e.agent_id == *agent && e.what == "accepted";
                ensure!(
                    events.len() >= 64 || events.iter().any(was),
                    "{agent} was told that {chat_id} is theirs, and node {node} does not know"
                );
            }
        }
    }
    Ok((chats.len(), accepted.values().map(Vec::len).sum()))
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
            "agent lost" | "transferred" | "ended" | "handed over" | "goes on elsewhere" => {
                owner = None;
            }
            _ => {}
        }
    }
    Ok(())
}
