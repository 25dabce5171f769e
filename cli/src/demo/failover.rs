//! A region is lost: makes it lead, kills it, times the first new commit, and brings it back.

use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Code;

use super::error::DemoError;
use super::live::Live;
use super::nodes::{Node, Nodes};
use super::report::Failover;

/// How long before its end a region is made leader.
const LEADS: Duration = Duration::from_secs(4);
/// How long a killed region stays away.
const AWAY: Duration = Duration::from_secs(8);
/// Longest time for the survivors to commit again, and for the region to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries a node may be behind and still have caught up: what is proposed between two looks.
const BEHIND: u64 = 20;

/// Loses the region at the instant given.
///
/// # Errors
/// Nothing is committed any more, or the region does not come back.
pub async fn lose(
    nodes: &mut Nodes,
    region: &str,
    at: Instant,
    target_ms: Option<u64>,
    live: &Live,
) -> Result<Failover, DemoError> {
    let here = nodes.nodes.iter().position(|n| n.region == region);
    let i = here.ok_or_else(|| DemoError::Network(format!("no node stands in {region}")))?;
    let victim = nodes.nodes[i].id;
    let survivor = (i + 1) % nodes.nodes.len();
    // Leadership follows the load, so the busiest region leads when it is lost: the worst case.
    sleep_until(at - LEADS).await;
    let refused = make_leader(nodes, victim, survivor, at).await;
    sleep_until(at).await;
    let led = nodes.leader().await == Some(victim);
    let bound_ms = nodes.nodes[survivor].status().await;
    let bound_ms = bound_ms.map_or(0, |s| u64::from(s.failover_ms_max));
    let killed = nodes.kill(i).await?;
    live.note(&match (led, refused) {
        (true, _) => format!("{region} is killed (SIGKILL); it led the cluster"),
        (false, why) => format!(
            "{region} is killed (SIGKILL); it did not lead: {}",
            why.unwrap_or_default()
        ),
    });
    first_commit(&nodes.nodes[survivor], killed).await?;
    let mut failover = Failover {
        region: region.to_owned(),
        led,
        failover_ms: killed.elapsed().as_millis() as u64,
        bound_ms,
        target_ms,
        back_ms: 0,
    };
    live.note(&failover.told());
    sleep_until(killed + AWAY).await;
    nodes.launch(i)?;
    let began = Instant::now();
    live.note(&format!("{region} starts again"));
    nodes
        .until("the killed node to catch up", PATIENCE, async |nodes| {
            let back = nodes[i].status().await?;
            let other = nodes[survivor].status().await?;
            let (has, wants) = (back.applied_index, other.applied_index);
            let caught_up = back.leader_id != 0 && has + BEHIND >= wants;
            let behind = || format!("it stands at log index {has} of {wants}");
            caught_up.then_some(()).ok_or_else(behind)
        })
        .await?;
    failover.back_ms = began.elapsed().as_millis() as u64;
    live.note(&format!(
        "{region} has caught up after {} ms",
        failover.back_ms
    ));
    Ok(failover)
}

/// Hands leadership to the victim, again and again until it leads or its time has come; why not, at last.
async fn make_leader(nodes: &Nodes, victim: u64, survivor: usize, at: Instant) -> Option<String> {
    let mut why = None;
    while Instant::now() + Duration::from_millis(300) < at {
        if nodes.leader().await == Some(victim) {
            return None;
        }
        let mut admin = AdminServiceClient::new(nodes.nodes[survivor].channel(0));
        let ask = api::TransferLeaderRequest { node_id: victim };
        let left = at.saturating_duration_since(Instant::now());
        why = match timeout(left, admin.transfer_leader(ask)).await {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(status.message().to_owned()),
            Err(_) => Some("the transfer was not answered in time".to_owned()),
        };
        if why.is_some() {
            sleep(Duration::from_millis(200)).await;
        }
    }
    why
}

/// Waits for a command to be committed that changes nothing: leaving a chat that does not exist.
async fn first_commit(survivor: &Node, killed: Instant) -> Result<(), DemoError> {
    let mut probe = VisitorServiceClient::new(survivor.channel(1));
    let mut last = "none".to_owned();
    while killed.elapsed() < PATIENCE {
        let leave = api::LeaveChatRequest {
            request_id: "demo-probe".into(),
            chat_id: "none".into(),
        };
        let left = PATIENCE.saturating_sub(killed.elapsed());
        match timeout(left, probe.leave_chat(leave)).await {
            Ok(Err(status)) if status.code() == Code::NotFound => return Ok(()),
            Ok(Err(status)) => last = status.message().to_owned(),
            Ok(Ok(_)) => last = "a chat that does not exist was left".to_owned(),
            Err(_) => last = "no answer".to_owned(),
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(DemoError::Vain {
        what: "a commit after the kill".to_owned(),
        seconds: PATIENCE.as_secs(),
        last,
    })
}
