//! What is looked at in the end: everything open is finished, and every node tells of what anybody was told.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::time::{Instant, sleep};

use crate::ledger::Ledger;
use crate::operator::OPERATOR;
use crate::stage::Stage;
use crate::world::{self, AGENTS};

/// How long after the last fault a leader may be missing and agents be on their way back.
const BACK_WITHIN: Duration = Duration::from_secs(40);
/// How long one agent needs for one chat in the evening: an offer of the day that is left to lapse, then an offer taken,
/// a talk, and a wrap-up, each a second at most, and the ways between.
const CHAT_TAKES: Duration = Duration::from_secs(12);

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
    let nodes = stage.nodes.lock().clone();
    for node in nodes {
        let mut supervisor = SupervisorServiceClient::new(stage.ways.channel(OPERATOR, node));
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
