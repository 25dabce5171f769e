//! What the cluster itself says at the end of the day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::error::DemoError;
use super::ledger::Entries;
use super::nodes::Nodes;

/// Longest time one question is repeated.
const PATIENCE: Duration = Duration::from_secs(30);
/// Chats asked for at once.
const PAGE: u32 = 1_000;
/// Closed chats leave the list after this; a little less, so that none slips out while it is read.
const CLOSED_KEPT: Duration = Duration::from_secs(9 * 60);

/// One chat as the cluster tells it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// As it is, or as it closed.
    pub chat: api::Chat,
    /// Its story, in order; the oldest are dropped past 64.
    pub events: Vec<api::ChatEvent>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Every chat that anybody was told of, by id; `None` where the cluster does not know it.
    pub records: BTreeMap<String, Option<Record>>,
    /// Every chat the cluster lists; `None` when the day was so long that closed ones have left the list.
    pub listed: Option<Vec<api::Chat>>,
    /// Why the replicas do not agree; `None` when they do.
    pub disagreement: Option<String>,
}

/// Asks for every chat anybody was told of, for the list of all chats, and every node for its state.
///
/// # Errors
/// [`DemoError::Vain`] when the cluster does not answer.
pub async fn gather(nodes: &Nodes, told: &Entries, took: Duration) -> Result<Evidence, DemoError> {
    let mut supervisor =
        SupervisorServiceClient::new(nodes.nodes[0].channel(0)).max_decoding_message_size(64 << 20);
    let listed = list(&mut supervisor).await?;
    let mut ids: BTreeSet<String> = told.visits.keys().cloned().collect();
    ids.extend(told.deeds.iter().map(|d| d.chat.clone()));
    ids.extend(told.holds.iter().map(|h| h.chat.clone()));
    ids.extend(listed.iter().map(|c| c.chat_id.clone()));
    let mut records = BTreeMap::new();
    for id in ids {
        let record = explain(&mut supervisor, &id).await?;
        records.insert(id, record);
    }
    Ok(Evidence {
        records,
        listed: (took < CLOSED_KEPT).then_some(listed),
        disagreement: disagreement(nodes).await,
    })
}

type Supervisor = SupervisorServiceClient<Channel>;

async fn list(supervisor: &mut Supervisor) -> Result<Vec<api::Chat>, DemoError> {
    let mut chats = Vec::new();
    let mut token = String::new();
    loop {
        let ask = api::ListChatsRequest {
            consistency: api::Consistency::Linearizable.into(),
            page_size: PAGE,
            page_token: token,
            ..Default::default()
        };
        let page = patiently("the list of chats", async || {
            supervisor.clone().list_chats(ask.clone()).await
        });
        let page = page.await?.into_inner();
        chats.extend(page.chats);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(chats);
        }
    }
}

/// Reads of a node that has answered a linearizable one are no older.
async fn explain(supervisor: &mut Supervisor, id: &str) -> Result<Option<Record>, DemoError> {
    let ask = api::ExplainChatRequest {
        consistency: api::Consistency::Local.into(),
        chat_id: id.to_owned(),
        then: None,
    };
    let asked = patiently("a chat's story", async || {
        match supervisor.clone().explain_chat(ask.clone()).await {
            Ok(told) => Ok(Some(told.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    });
    let told = asked.await?;
    Ok(told.and_then(|told| {
        Some(Record {
            chat: told.chat?,
            events: told.events,
        })
    }))
}

async fn patiently<T>(
    what: &str,
    ask: impl AsyncFn() -> Result<T, Status>,
) -> Result<T, DemoError> {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(status) if began.elapsed() > PATIENCE => {
                return Err(DemoError::Vain {
                    what: what.to_owned(),
                    seconds: PATIENCE.as_secs(),
                    last: status.message().to_owned(),
                });
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Replicas that stand at the same index must have the same state.
async fn disagreement(nodes: &Nodes) -> Option<String> {
    let began = Instant::now();
    let mut seen = BTreeMap::new();
    while began.elapsed() < PATIENCE {
        seen.clear();
        for node in &nodes.nodes {
            if let Ok(status) = node.status().await {
                seen.insert(node.id, (status.applied_index, status.state_hash));
            }
        }
        let first = seen.values().next().copied().unwrap_or_default();
        if seen.len() == nodes.nodes.len() && seen.values().all(|s| s.0 == first.0) {
            let same = seen.values().all(|s| *s == first);
            return (!same).then(|| format!("replicas differ at log index {}: {seen:?}", first.0));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Some(format!(
        "the replicas did not come to the same log index within {} s: {seen:?}",
        PATIENCE.as_secs()
    ))
}
