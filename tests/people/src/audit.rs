//! What is looked at in the end: everything open is finished, and every node tells of what anybody was told.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic::transport::Channel;

use crate::ledger::Ledger;
use crate::operator::OPERATOR;
use crate::stage::Stage;
use crate::trace::Trace;
use crate::world::{self, AGENTS};

/// How long after the last fault a leader may be missing and agents be on their way back.
const BACK_WITHIN: Duration = Duration::from_secs(40);
/// How long one agent needs for one chat in the evening: an offer of the day that is left to lapse, then an offer taken,
/// a talk, and a wrap-up, each a second at most, and the ways between.
const CHAT_TAKES: Duration = Duration::from_secs(12);
/// How long everything may take to come to rest once nothing fails any more.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// How many stories are asked for at the same time.
const ASKED_AT_ONCE: usize = 64;

/// Whether every promise was kept so far.
///
/// # Errors
/// The first that was not.
pub fn kept(ledger: &Ledger) -> anyhow::Result<()> {
    match ledger.broken() {
        Some(broken) => bail!(broken),
        None => Ok(()),
    }
}

/// Whether one order explains what people asked and were told, by a checker that knows nothing of the log.
///
/// # Errors
/// What none explains.
pub fn judged(ledger: &Ledger) -> anyhow::Result<()> {
    ledger.verdict().map_err(anyhow::Error::msg)
}

/// Once nothing fails any more, every open chat is served in a time that its like before it determine.
///
/// # Errors
/// Some are not, or a promise was not kept meanwhile.
pub async fn finished(stage: &Stage) -> anyhow::Result<()> {
    let (ledger, trace) = (&stage.ledger, &stage.trace);
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

/// Waits until all nodes have the same state, and nothing more is about to come: its log index and hash.
///
/// # Errors
/// That does not come to be.
pub async fn rest(
    trace: &Trace,
    states: impl AsyncFn() -> Vec<Option<(u64, u64)>>,
) -> anyhow::Result<(u64, u64)> {
    let began = Instant::now();
    let mut same = 0;
    loop {
        let states = states().await;
        let equal = states.windows(2).all(|pair| pair[0] == pair[1]);
        match states.first().copied().flatten().filter(|_| equal) {
            // Three times in a row, so that nothing was about to come.
            Some(at) if same == 2 => {
                trace.tell(format!("at rest at log index {}", at.0));
                return Ok(at);
            }
            Some(_) => same += 1,
            None => same = 0,
        }
        ensure!(
            began.elapsed() < REST_WITHIN,
            "the cluster does not come to rest: {states:?}"
        );
        sleep(Duration::from_secs(1)).await;
    }
}

/// Every chat that was taken in is known to every node, and had one owner at a time; how many chats, and how often an
/// agent was told that one is theirs.
///
/// # Errors
/// What is not known, or not so.
pub async fn stories(stage: &Stage) -> anyhow::Result<(usize, usize)> {
    let (chats, accepted) = {
        let promises = stage.promises.lock();
        (promises.chats.clone(), promises.accepted.clone())
    };
    let (chats, accepted) = (&chats, &accepted);
    let nodes = stage.nodes.lock().clone();
    let clients = nodes.into_iter().map(|node| {
        let way = stage.ways.channel(OPERATOR, node);
        (node, SupervisorServiceClient::new(way))
    });
    let stories = clients.flat_map(|(node, supervisor)| {
        chats.iter().map(move |(request, chat_id)| {
            let owners = accepted.get(chat_id).map_or(&[][..], Vec::as_slice);
            story(node, supervisor.clone(), request, chat_id, owners)
        })
    });
    let told = stream::iter(stories).buffer_unordered(ASKED_AT_ONCE);
    told.try_collect::<()>().await?;
    Ok((chats.len(), accepted.values().map(Vec::len).sum()))
}

/// A node knows of a chat, of one owner at a time, and of everybody who was told that it is theirs.
async fn story(
    node: u64,
    mut supervisor: SupervisorServiceClient<Channel>,
    request: &str,
    chat_id: &str,
    owners: &[String],
) -> anyhow::Result<()> {
    let ask = ExplainChatRequest {
        consistency: Consistency::Local.into(),
        chat_id: chat_id.to_owned(),
        then: None,
    };
    let told = supervisor.explain_chat(ask).await;
    let told = told.map_err(|status| match status.code() {
        Code::NotFound => anyhow::anyhow!("3: node {node} lost {chat_id} of {request}"),
        _ => anyhow::anyhow!("node {node} cannot be asked of {chat_id}: {status}"),
    })?;
    let events = told.into_inner().events;
    one_owner(chat_id, &events).with_context(|| told_of(&events))?;
    for agent in owners {
        let was = |e: &ChatEvent| {
            e.agent_id == *agent && ["accepted", "handed over"].contains(&e.what.as_str())
        };
        ensure!(
            events.len() >= 64 || events.iter().any(was),
            "{agent} was told that {chat_id} is theirs, and node {node} does not know: {}",
            told_of(&events)
        );
    }
    Ok(())
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
