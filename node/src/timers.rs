//! What only the leader does, by time: ticks when a deadline is due, nodes declared lost, schedules resolved
//! anew. Every node runs it; whoever does not lead does nothing.

use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as pb;
use meridian_routing::command::{Command, ConfigChange};
use meridian_routing::ids::*;
use prost::Message as _;
use tokio::time::sleep;

use crate::calendar;
use crate::convert::api;
use crate::driver::Driver;
use crate::raft::Role;

/// How often schedules are looked over.
const SCHEDULES_EVERY: Duration = Duration::from_secs(3_600);
const DAY_MS: Millis = 86_400_000;

/// Proposes a tick whenever the earliest deadline is due. Ends when the node stops.
pub async fn ticks(driver: Arc<Driver>) {
    let mut progress = driver.progress();
    loop {
        let due = progress.borrow_and_update().next_deadline;
        let wait = async {
            match due {
                Some(at) => {
                    sleep(Duration::from_millis(
                        at.saturating_sub(driver.now()).max(0).unsigned_abs(),
                    ))
                    .await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {
                if !leads(&driver) {
                    // Somebody else ticks, or nobody can; look again when either changes.
                    let Ok(group) = driver.group() else { sleep(Duration::from_millis(50)).await; continue };
                    let mut leading = group.watch();
                    tokio::select! {
                        changed = progress.changed() => if changed.is_err() { return },
                        _ = leading.wait_for(|s| s.role == Role::Leader) => {}
                        () = driver.stopped() => return,
                    }
                } else if let Err(e) = driver.propose_here(Command::Tick).await {
                    tracing::debug!(error = %e, "a tick was not proposed");
                    sleep(Duration::from_millis(20)).await;
                }
            }
            changed = progress.changed() => if changed.is_err() { return },
            () = driver.stopped() => return,
        }
    }
}

fn leads(driver: &Driver) -> bool {
    driver
        .group()
        .is_ok_and(|g| g.status().role == Role::Leader)
}

/// Declares nodes lost that hold sessions and were not heard of for `silence`, so that their agents' offers
/// go back to the line. Ends when the node stops.
pub async fn lost_nodes(driver: Arc<Driver>, silence: Duration) {
    // A new leader has heard of nobody yet; everybody gets the full time from its election on.
    let mut leading_since = None;
    loop {
        tokio::select! {
            () = sleep(silence / 4) => {}
            () = driver.stopped() => return,
        }
        let Ok(group) = driver.group() else { continue };
        if !leads(&driver) {
            leading_since = None;
            continue;
        }
        let since = *leading_since.get_or_insert_with(tokio::time::Instant::now);
        let nodes: Vec<NodeId> = driver
            .state()
            .session_nodes()
            .filter(|n| *n != driver.node_id())
            .collect();
        for node in nodes {
            let heard = group.status().members.get(&node).and_then(|m| m.heard);
            let quiet = heard.map_or(since.elapsed(), |at| at.elapsed().min(since.elapsed()));
            if quiet < silence {
                continue;
            }
            tracing::warn!(
                node,
                quiet_ms = quiet.as_millis() as u64,
                "node lost: its agents' offers go back to the line"
            );
            if let Err(e) = driver.propose_here(Command::NodeLost { node }).await {
                tracing::debug!(node, error = %e, "a lost node was not recorded");
            }
        }
    }
}

/// Resolves schedules again whose horizon comes near or whose zone data this program replaces. Ends when the
/// node stops.
pub async fn schedules(driver: Arc<Driver>) {
    loop {
        if leads(&driver) {
            resolve_again(&driver).await;
        }
        tokio::select! {
            () = sleep(SCHEDULES_EVERY) => {}
            () = driver.stopped() => return,
        }
    }
}

async fn resolve_again(driver: &Driver) {
    let now = driver.now();
    let near = now + Millis::from(api::HORIZON_DAYS_LEFT) * DAY_MS;
    let stale: Vec<pb::Schedule> = {
        let state = driver.state();
        let stale = state.schedules().values().filter(|s| {
            s.horizon != Millis::MAX && (s.horizon < near || s.zone_data != calendar::zone_data())
        });
        stale
            .filter_map(|s| pb::Schedule::decode(&s.source[..]).ok())
            .collect()
    };
    let mut changes = Vec::new();
    for schedule in &stale {
        match api::schedule(&schedule.id, schedule, now) {
            Ok(resolved) => changes.push(ConfigChange::PutSchedule(resolved)),
            Err(e) => {
                tracing::error!(schedule = %schedule.id, error = %e, "a schedule can no longer be resolved")
            }
        }
    }
    if !changes.is_empty() {
        let count = changes.len();
        match driver.propose_here(Command::Configure(changes)).await {
            Ok(_) => tracing::info!(
                count,
                zone_data = calendar::zone_data(),
                "schedules resolved again"
            ),
            Err(e) => tracing::warn!(error = %e, "schedules were not resolved again"),
        }
    }
}
